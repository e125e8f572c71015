"""Videos: every frame once, upright, at its time; and whatever calls itself a video."""

from __future__ import annotations

import os
import random
from fractions import Fraction

import av
import numpy as np
import pytest
from clips import noise, turn_clip, write_clip

from groundplane.core.errors import MediaError
from groundplane.core.media import MediaLimits
from groundplane.core.video import is_video_name, read_frames


def _read(path, **options):
    """The frames of a video up to its end or its fault, and the fault."""
    frames = []
    try:
        for frame in read_frames(path, name="clip", **options):
            frames.append(frame)
    except MediaError as error:
        return frames, str(error)
    return frames, ""


def test_frames_and_times_are_those_of_the_decoder(data_dir):
    path = data_dir / "video" / "04_coffee.mp4"
    wanted = {0, 100, 286}
    frames, fault = _read(path, wanted=wanted.__contains__)
    assert fault == ""
    with av.open(str(path)) as container:
        plain = list(enumerate(container.decode(video=0)))
        assert [frame.index for frame in frames] == [index for index, _ in plain]
        assert [float(frame.time) for frame in frames] == [frame.time for _, frame in plain]
        for index, frame in plain:
            image = frames[index].image
            assert (image is not None) == (index in wanted)
            if image is not None:
                assert np.array_equal(image.pixels, frame.to_ndarray(format="rgb24"))
    assert len(frames) == 287
    assert frames[286].time == Fraction(286286, 30000)


def test_frames_do_not_pile_up_with_the_threads_of_their_conversion(data_dir):
    tasks = [
        len(os.listdir("/proc/self/task"))
        for _ in read_frames(data_dir / "video" / "04_coffee.mp4", name="coffee")
    ]

    assert max(tasks) <= min(tasks[:3]) + 2 * (os.cpu_count() or 1) + 2


def test_a_varying_frame_rate_keeps_index_and_time(tmp_path):
    times = [0, 10, 50, 51, 200, 900, 901, 1000, 5000, 5001]
    pictures = noise(len(times))
    path = write_clip(tmp_path / "a.mkv", pictures, times=times)
    frames, fault = _read(path)
    assert fault == ""
    assert [frame.time for frame in frames] == [Fraction(time, 1000) for time in times]
    assert [frame.index for frame in frames] == list(range(len(times)))
    for frame, picture in zip(frames, pictures, strict=True):
        assert np.array_equal(frame.image.pixels, picture)


def test_a_file_that_is_open_is_read_as_its_path(tmp_path):
    path = write_clip(tmp_path / "a.mkv", noise(5))
    with path.open("rb") as file:
        frames, fault = _read(file)
    assert (len(frames), fault) == (5, "")


@pytest.mark.parametrize(
    ("matrix", "turned"),
    [
        ((1, 0, 0, 1), lambda pixels: pixels),
        ((0, 1, -1, 0), lambda pixels: np.rot90(pixels, -1)),  # a telephone held upright
        ((-1, 0, 0, -1), lambda pixels: np.rot90(pixels, 2)),
        ((0, -1, 1, 0), lambda pixels: np.rot90(pixels, 1)),
        ((-1, 0, 0, 1), lambda pixels: pixels[:, ::-1]),
        ((1, 0, 0, -1), lambda pixels: pixels[::-1]),
        ((0, 1, 1, 0), lambda pixels: pixels.transpose(1, 0, 2)),
        ((0, -1, -1, 0), lambda pixels: np.rot90(pixels, 2).transpose(1, 0, 2)),
    ],
)
def test_turned_videos_come_out_upright_with_the_way_back(tmp_path, matrix, turned):
    path = write_clip(tmp_path / "a.mp4", noise(2, (48, 32)), codec="libx264", form="yuv420p")
    [stored, _], _ = _read(path)
    turn_clip(path, matrix)
    [upright, _], fault = _read(path)
    assert fault == ""
    assert np.array_equal(upright.image.pixels, turned(stored.image.pixels))
    height, width = upright.image.pixels.shape[:2]
    for x, y in [(0, 0), (width - 1, 0), (3, height - 2)]:
        [[stored_x, stored_y]] = upright.image.frame_map.points(np.array([[x + 0.5, y + 0.5]]))
        was = stored.image.pixels[int(stored_y), int(stored_x)]
        assert np.array_equal(upright.image.pixels[y, x], was)


def test_ffmpeg_calls_the_same_turn_the_same(tmp_path):
    path = write_clip(tmp_path / "a.mp4", noise(1, (48, 32)), codec="libx264", form="yuv420p")
    turn_clip(path, (0, 1, -1, 0))
    with av.open(str(path)) as container:
        [frame] = container.decode(video=0)
        assert frame.rotation == -90  # counterclockwise, in degrees


@pytest.mark.parametrize("part", [0.6, 0.3, 0.05])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.mkv", {}),
        ("a.avi", {}),
        ("a.mp4", {"codec": "libx264", "form": "yuv420p", "movflags": "faststart"}),
    ],
)
def test_a_video_that_is_cut_off_gives_its_frames_and_then_says_so(tmp_path, name, options, part):
    path = write_clip(tmp_path / name, noise(40, (64, 64)), **options)
    whole, fault = _read(path)
    assert (len(whole), fault) == (40, "")
    os.truncate(path, int(path.stat().st_size * part))
    frames, fault = _read(path)
    assert 0 < len(frames) < 40 * part + 3 or part < 0.1
    assert "cut off" in fault or "no frame" in fault
    for frame, other in zip(frames, whole, strict=False):
        assert np.array_equal(frame.image.pixels, other.image.pixels)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"only words " * 100,
        b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile://{clip}\n#EXT-X-ENDLIST\n",
        b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{clip}\n#EXT-X-ENDLIST\n",
        b"ffconcat version 1.0\nfile '{clip}'\n",
        b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\n",
    ],
    ids=["empty", "words", "playlist", "relative playlist", "concat", "sdp"],
)
def test_what_leads_to_other_files_is_no_video(tmp_path, content):
    clip = write_clip(tmp_path / "clip.ts", noise(3, (64, 64)), codec="libx264", form="yuv420p")
    path = tmp_path / "a.mp4"
    path.write_bytes(content.replace(b"{clip}", str(clip).encode()))
    for source in (path, path.open("rb")):
        frames, fault = _read(source)
        assert frames == []
        assert "cannot read video 'clip'" in fault
        if hasattr(source, "close"):
            source.close()


def test_sounds_are_no_video(tmp_path):
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
        frame.sample_rate, frame.pts = 8000, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    assert "holds no video" in _read(tmp_path / "a.mkv")[1]


def test_a_codec_that_nothing_decodes_is_told(tmp_path):
    path = write_clip(tmp_path / "a.mkv", noise(2))
    path.write_bytes(path.read_bytes().replace(b"V_FFV1", b"V_NONE"))
    assert "nothing here decodes its codec" in _read(path)[1]


def test_words_in_another_encoding_do_not_matter(tmp_path):
    path = write_clip(tmp_path / "a.mkv", noise(2))
    data = path.read_bytes()
    assert b"Lavf" in data
    path.write_bytes(data.replace(b"Lavf", b"\xe9\xe8\xffx"))
    frames, fault = _read(path)
    assert (len(frames), fault) == (2, "")


def test_frames_over_a_limit_are_refused(tmp_path):
    path = write_clip(tmp_path / "a.mkv", noise(2))
    assert "more than 700" in _read(path, limits=MediaLimits(max_pixels=700))[1]
    assert "longer than 1.1 to 1" in _read(path, limits=MediaLimits(max_aspect=1.1))[1]
    assert _read(tmp_path / "none.mkv")[1].endswith("(No such file or directory)")


def test_mutants_give_frames_or_a_media_error(tmp_path):
    """Change small videos at random: 60 by default, or as many as GROUNDPLANE_FUZZ says."""
    seeds = [
        write_clip(tmp_path / "a.mkv", noise(4)).read_bytes(),
        write_clip(tmp_path / "a.mp4", noise(4), codec="mpeg4", form="yuv420p").read_bytes(),
        write_clip(tmp_path / "a.avi", noise(4), codec="mjpeg", form="yuvj420p").read_bytes(),
    ]
    given = 0
    limits = MediaLimits(max_pixels=100_000)
    for number in range(int(os.environ.get("GROUNDPLANE_FUZZ", "60"))):
        rng = random.Random(number)
        data = bytearray(seeds[number % len(seeds)])
        for _ in range(rng.randint(1, 8)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        path = tmp_path / "mutant"
        path.write_bytes(data)
        frames, fault = _read(path, limits=limits)
        assert fault.isprintable() or not fault
        given += len(frames)
    assert given > 0


def test_names_of_videos():
    assert is_video_name("a/b.MKV")
    assert not is_video_name("mkv")
