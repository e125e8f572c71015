"""Texts that XML holds, and names that stay apart when they are changed."""

from __future__ import annotations

from xml.etree import ElementTree
from xml.sax.saxutils import escape

from hypothesis import given
from hypothesis import strategies as st

from groundplane.core.xml_text import distinct_names, xml_plain

ANY = st.text(alphabet=st.characters(codec=None), max_size=6)


@given(text=ANY)
def test_any_text_can_stand_in_xml(text: str) -> None:
    plain = xml_plain(text)
    root = ElementTree.fromstring(f"<a>{escape(plain, {chr(13): '&#13;'})}</a>".encode())
    assert (root.text or "") == plain
    assert xml_plain(plain) == plain


def test_what_xml_holds_is_kept() -> None:
    assert xml_plain("a\n\t<b>&红🐕") == "a\n\t<b>&红🐕"


@given(names=st.lists(ANY, unique=True, max_size=8))
def test_names_stay_apart_and_good_ones_as_they_are(names: list[str]) -> None:
    found = distinct_names(names, xml_plain)
    assert len(set(found)) == len(names)
    assert all(a == b for a, b in zip(names, found, strict=True) if xml_plain(a) == a)


@given(names=st.lists(st.text("ab ()2\t", max_size=6), unique=True, max_size=8))
def test_a_changed_name_takes_no_others(names: list[str]) -> None:
    found = distinct_names(names, lambda name: " ".join(name.split()))
    assert len(set(found)) == len(names)
