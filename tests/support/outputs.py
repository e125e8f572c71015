"""Real and documented outputs of every dialect: seeds of the fuzz, and of the splitting tests."""

from __future__ import annotations

__all__ = ["OUTPUTS"]

OUTPUTS: dict[str, tuple[str, ...]] = {
    "kosmos-2": (
        (
            "<grounding> An image of<phrase> a snowman</phrase><object><patch_index_0044>"
            "<patch_index_0863></object> warming himself by<phrase> a fire</phrase><object>"
            "<patch_index_0005><patch_index_0911></object>."
        ),
        (
            "<object><patch_index_0005><patch_index_0911></delimiter_of_multi_objects/>"
            "<patch_index_0001><patch_index_0033></object>"
        ),
    ),
    "qwen-vl": (
        (
            "<img>https://example.org/demo.jpeg</img>Generate the caption in English:"
            "<ref> Woman</ref><box>(451,379),(731,806)</box> and<ref> her dog</ref>"
            "<box>(219,424),(576,896)</box> playing on the beach<|endoftext|>"
        ),
        (
            "<ref> Two apples</ref><box>(302,257),(582,671)</box><box>(603,252),(878,642)</box> and"
            "<ref> a bowl</ref><box>(2,269),(304,674)</box>"
        ),
        "<ref>a sign</ref><quad>(10,10),(90,20),(80,90),(5,70)</quad>",
    ),
    "qwen2-vl": (
        (
            "<|object_ref_start|>language switch<|object_ref_end|><|box_start|>(576,12),(592,42)"
            "<|box_end|>"
        ),
        (
            "<|object_ref_start|>birch tree<|object_ref_end|><|box_start|>(530,351),(602,516)"
            "<|box_end|><|box_start|>(176,106),(232,160)<|box_end|>"
        ),
    ),
    "qwen2.5-vl": (
        (
            '```json\n[\n  {"bbox_2d": [100, 200, 300, 400], "label": "dog"},\n'
            '  {"point_2d": [394, 105], "label": "handle"}\n]\n```'
        ),
        "Sure: [{'bbox_2d': [10, 20, 110, 120], 'label': \"the dog's bowl\"},]",
        '{"objects": [{"bbox_2d": [0, 0, 64, 64], "label": "\u72d7 {1}"}, {"bb',
    ),
    "shikra": (
        (
            "There is a man [0.193,0.002,0.940,0.758] with two dogs "
            "[0.100,0.200,0.300,0.400;0.500,0.200,0.700,0.400]."
        ),
        "The point [0.512,0.340] is on the table, see [3].",
    ),
    "qwen3-vl": (
        '```json\n[ {"point_2d": [925, 618], "label": "point_1"} ]\n```',
        (
            '[{"bbox_3d":[2.88, 0.56, 6.28, 4.45, 1.7, 1.84, 0.75, 0.49, 0.75],"label":"car"},\n'
            '{"label": "main sign", "bbox_2d": [574, 301, 660, 468], "img_idx": 0}]'
        ),
        '<points x1="154" y1="104" x2="885" y2="104" alt="cups">cups</points>',
    ),
    "gemini": (
        (
            '```json\n[{"box_2d": [100, 200, 300, 400], "label": "red sock"},\n'
            '{"point": [10, 900], "label": "tip"}]\n```'
        ),
        (
            '{"boxes":[{"box_2d":[1,2,300,400],"label":"a","mask":[[1,2],[90,2],[90,80]],'
            '"confidence":0.9}]}'
        ),
        (
            '[{"box_2d": [100, 100, 200, 200], "mask": "data:image/png;base64,iVBORw0KGgoAAAANS'
            'UhEUgAAAAoAAAAKCAAAAACoWZBhAAAADElEQVR4nGNgoCcAAABuAAFIXXpjAAAAAElFTkSuQmCC", '
            '"label": "c"}]'
        ),
    ),
    "claude": (
        "The dog is at [100, 200, 300, 400], the cat at [10, 20, 50, 60].",
        '[{"label": "dog", "bbox": [100, 200, 300, 400]}]',
    ),
    "moondream": (
        '{"objects": [{"x_min": 0.1, "y_min": 0.2, "x_max": 0.3, "y_max": 0.4}]}',
        '{"points": [{"x": 0.5, "y": 0.5}]}',
    ),
    "llava-1.5": ("The dude with black shirt is at [0.32, 0.53, 0.64, 0.95].",),
    "cogvlm": (
        "a man [[086,540,400,760]] and two dogs [[010,020,300,400;310,020,600,400]]",
        "[combobox] Search -> TYPE: CogVLM at the box [[212,498,787,564]]",
    ),
    "ferret": ("a red car [98, 203, 456, 780] near two men [1, 2, 30, 40] [5, 6, 70, 80].",),
    "molmo": (
        '<point x="61.5" y="40.4" alt="dog">dog</point>',
        'Two: <points x1="10.0" y1="20.0" x2="30.0" y2="40.0" alt="a > b">hands</points>.',
    ),
    "molmo2": ('<points coords="1 1 403 502 2 600 700">cups</points>',),
    "groma": (
        "Here is <p>a dog</p><roi><r3><r7></roi> on <p>a mat</p><roi><r1></roi>.",
        "What is [0.5874, 0.4748, 0.3462, 0.5059]?",
    ),
    "rexseek": ("<ground>people in red</ground><objects><obj1><obj4></objects>",),
    "spatialrgpt": ("Region [0] and Region [1] are 11.4 meters apart.",),
    "gpt-4o": ("The red cup [2] stands next to the plates [3, 5].",),
    "internvl": (
        "<ref>the dog</ref><box>[[278, 24, 354, 100], [515, 10, 611, 106]]</box>",
        "[[278, 24, 354, 100]]",
    ),
    "minigpt-v2": (
        "<p>sofas</p> {<4><50><30><65>}<delim>{<60><50><95><80>}",
        "{<31><12><58><90>}",
    ),
    "deepseek-vl2": (
        (
            "<|ref|>The giraffe at the back.<|/ref|><|det|>[[580, 270, 999, 900]]<|/det|>"
            "<\uff5cend\u2581of\u2581sentence\uff5c>"
        ),
        (
            "<|ref|>cat<|/ref|><|det|>[[100, 200, 300, 400], [1, 2, 30, 40]]<|/det|>"
            "<|ref|>dog<|/ref|><|det|>[[500, 600, 700, 800]]<|/det|>"
        ),
    ),
    "rex-omni": (
        (
            "<|object_ref_start|>person<|object_ref_end|><|box_start|><0><35><980><987>, "
            "<646><0><999><940><|box_end|>, <|object_ref_start|>cup<|object_ref_end|><|box_start|>"
            "<10><20><|box_end|>"
        ),
        "<|object_ref_start|>pool<|object_ref_end|><|box_start|><1><1><50><1><50><60><|box_end|>",
    ),
    "locateanything": (
        (
            "<ref>car</ref><box><120><200><450><500></box><box><1><2><45><50></box>"
            "<ref>person</ref><box>none</box>"
        ),
        "<box><950><30></box>",
    ),
    "glm-4.5v": (
        "The dog is at <|begin_of_box|>[[100,200,300,400]]<|end_of_box|>.",
        "It is <|begin_of_box|>42<|end_of_box|>",
    ),
    "paligemma": (
        "<loc0256><loc0128><loc0768><loc0512> cat ; <loc0000><loc0064><loc0512><loc0300> dog",
        "<loc0256><loc0128><loc0768><loc0512><seg001><seg127> cat",
        "<loc0256><loc0768><loc0768> cat",
    ),
    "florence-2": (
        (
            "car<loc_52><loc_332><loc_932><loc_774>wheel<loc_708><loc_557><loc_865><loc_770>"
            "<loc_147><loc_563><loc_305><loc_770></s>"
        ),
        "<poly><loc_10><loc_10><loc_90><loc_10><loc_90><loc_80><sep><loc_1><loc_2></poly>",
        '{"<OD>": {"bboxes": [[4, 4, 6, 6]], "labels": ["car"]}}',
    ),
    "florence-2-ocr": (
        "hello<loc_52><loc_332><loc_932><loc_332><loc_932><loc_774><loc_52><loc_774>",
    ),
    "florence-2-outlines": (
        "</s><s><loc_50><loc_60><loc_150><loc_60><loc_150><loc_160><loc_50><loc_160></s>",
        "a car<poly><loc_10><loc_10><loc_90><loc_10><loc_90><loc_80></poly>",
    ),
    "glamm": ("The image shows <p> a dog </p> [SEG] on <p> a couch </p> [SEG].",),
    "lisa": ("Sure, the segmentation result is [SEG].",),
    "pixellm": ("It is [SEG0] [SEG1] [SEG2] [SEG3] [SEG4] [SEG5].",),
    "next-chat": ("There is a man <at> <boxes> with two dogs <at> <boxes> <at> <boxes>.",),
    "llava-grounding": ("<g_s> the two suitcases<g_e> <seg> stand",),
    "minigpt-4": ("A man with a dog. [0.1, 0.2, 0.3, 0.4]",),
    "bubogpt": ("A man.",),
    "janus": ("A man.",),
    "vila": ("A man.",),
    "kimi-vl": ("A man.",),
    "phi-4-multimodal": ("A man.",),
    "magma": ("A man. Mark 3.",),
}
