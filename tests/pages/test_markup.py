"""The reader of pages finds what it is there for."""

import pytest
from markup import read_markup


@pytest.mark.parametrize(
    ("html", "fault"),
    [
        ("<p><b>x</p></b>", "</p> closes b"),
        ("<p>x", "not closed: ['p']"),
        ('<p style="color: red">x</p>', "<p> has style"),
        ('<p onclick="x()">x</p>', "<p> has onclick"),
        ("<script>x()</script>", "an inline <script>"),
        ('<a href="javascript:x()">x</a>', "<a> leads elsewhere: javascript:x()"),
        ('<a href="/monitor"></a>', "<a> says nothing: {'href': '/monitor'}"),
        ("<th>x</th>", "<th> without a scope"),
        ("<input name=a>", "<input> without a label: {'name': 'a'}"),
        ('<p id="a">x</p><p id="a">x</p>', "the id a is there twice"),
        ('<button form="b">x</button>', "form names b, which is not there"),
    ],
)
def test_a_fault_is_found(html: str, fault: str) -> None:
    assert fault in read_markup(html).faults


def test_a_page_without_faults_has_none() -> None:
    html = (
        '<form id="f"><label>x<input name="a"></label><button form="f">go</button></form><img src="/monitor/x" alt="">'
    )
    assert read_markup(html).faults == []
