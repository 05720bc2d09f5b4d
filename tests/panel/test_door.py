"""Every route against every attack, generated from the routes: none reaches a handler."""

from __future__ import annotations

import itertools
import re

import pytest
from panels import serving_panel
from starlette.routing import Mount, Route

from encoders.errors import Refused
from plugin_bridge.panel.access import Access, make_token, read_key
from plugin_bridge.panel.guard import cookie_name
from plugin_bridge.panel.server import PanelServer


@pytest.fixture(scope="module")
def counted(sounds, tmp_path_factory):
    """A panel whose routes count how often they are reached."""
    with serving_panel(tmp_path_factory.mktemp("door"), sounds / "model") as served:
        served.reached = 0
        for route in served.server.app.routes:
            route.app = _counting(served, route.app)
        yield served


def _counting(served, app):
    async def counting(scope, receive, send):
        served.reached += 1
        await app(scope, receive, send)

    return counting


def requests_of(app):
    """(method, path) of every route, its variables filled in."""
    for route in app.routes:
        if isinstance(route, Mount):
            yield "GET", f"{route.path}/app.js"
        else:
            assert isinstance(route, Route)
            path = re.sub(r"\{\w+(:int)?\}", lambda found: "1" if found[1] else "abc", route.path)
            yield from ((method, path) for method in sorted(route.methods - {"HEAD"}))


def is_page(path):
    return path == "/" or path.startswith("/static/")


def change(headers, name, *values):
    """The headers with another value of one, several, or none."""
    return [pair for pair in headers if pair[0] != name] + [(name, value) for value in values]


def attacks(served, method, path):
    """(name, method, headers): the page's own request with one thing wrong."""
    own, port = served.headers(method), served.server.port
    for host in (
        "evil.example", f"evil.example:{port}", f"127.0.0.1.evil.example:{port}", "127.0.0.1", "localhost",
        f"127.0.0.1.:{port}", f"localhost.:{port}", f"0.0.0.0:{port}", f"[::]:{port}", f"127.0.0.1:{port + 1}",
        f"127.1:{port}", f"2130706433:{port}", f"evil@127.0.0.1:{port}", "",
    ):  # fmt: skip
        yield f"host {host!r}", method, change(own, "Host", host)
    yield "no host", method, change(own, "Host")
    yield "two hosts", method, change(own, "Host", served.host, "evil.example")
    for origin in (
        "null",
        "http://evil.example",
        f"https://{served.host}",
        f"http://127.0.0.1:{port + 1}",
        "",
    ):
        yield f"origin {origin!r}", method, change(own, "Origin", origin)
    yield "two origins", method, change(own, "Origin", f"http://{served.host}", "null")
    if path != "/":
        yield "cross-site", method, [*own, ("Sec-Fetch-Site", "cross-site")]
        yield "another port", method, [*own, ("Sec-Fetch-Site", "same-site")]
    if not is_page(path):
        yield "no token", method, change(own, "Cookie")
        yield "a forged token", method, change(own, "Cookie", f"{cookie_name(port)}=abc.{'A' * 43}")
        yield "another's cookie", method, change(own, "Cookie", f"samplefit={served.cookie}")
    posted = served.headers("POST")
    for kind in ("application/x-www-form-urlencoded", "text/plain", ""):
        yield f"form {kind!r}", "POST", change(posted, "Content-Type", kind)
    yield "a form from elsewhere", "POST", change(change(posted, "Origin"), "X-Samplefit")
    if method == "POST":
        yield "no origin", method, change(own, "Origin")
        yield "no permit", method, change(own, "X-Samplefit")
        yield "a forged permit", method, change(own, "X-Samplefit", "A" * 43)
        yield "no length", method, change(own, "Content-Length")
        yield "too long", method, change(own, "Content-Length", str(1 << 40))
    for other in ("OPTIONS", "PUT", "DELETE", "TRACE"):
        yield other, other, change(change(own, "Origin"), "X-Samplefit")


def test_no_attack_reaches_a_handler(counted):
    tried = 0
    for method, path in requests_of(counted.server.app):
        for name, verb, headers in attacks(counted, method, path):
            body = b"{}" if any(header == ("Content-Length", "2") for header in headers) else b""
            reply = counted.send(verb, path, headers, body)
            assert reply.status >= 400, f"{verb} {path}: {name}"
            assert counted.reached == 0, f"{verb} {path}: {name} reached the handler"
            tried += 1
    assert tried > 1000


def test_the_same_requests_without_the_wrong_thing_do(counted):
    for method, path in requests_of(counted.server.app):
        if path == "/api/events":  # it never ends by itself; a page's own test follows it
            continue
        before = counted.reached
        kind = "multipart/form-data; boundary=x" if path == "/api/presses" else "application/json"
        body = b"{}" if method == "POST" else b""
        reply = counted.send(method, path, counted.headers(method, kind, len(body)), body)
        assert counted.reached == before + 1, f"{method} {path}: {reply}"
        assert reply.status not in (401, 403, 405, 411, 415, 421, 500), f"{method} {path}: {reply}"


def test_every_answer_carries_the_headers(counted):
    for path in ("/", "/static/app.js", "/api/session", "/api/none"):
        headers = counted.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert not [name for name in headers if name.startswith("access-control")]
        assert "server" not in headers


def test_a_plain_link_shows_the_page_and_nothing_else(counted):
    link = [("Host", counted.host), ("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate")]
    assert counted.send("GET", "/", link).status == 200
    assert counted.send("GET", "/api/session", [("Host", counted.host)]).status == 401


def test_the_names_of_this_machine_are_all_taken(counted):
    for name in ("127.0.0.1", "localhost", "LOCALHOST", "[::1]"):
        host = f"{name}:{counted.server.port}"
        headers = [*change(counted.headers(), "Host", host), ("Origin", f"http://{host.lower()}")]
        assert counted.send("GET", "/api/session", headers).status == 200


def test_it_serves_over_ipv6(sounds, tmp_path):
    with serving_panel(tmp_path, sounds / "model", host="::1") as served:
        headers = change(served.headers(), "Host", f"[::1]:{served.server.port}")
        assert served.send("GET", "/api/session", headers).status == 200
        assert "http://[::1]:" in served.server.invitation()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
def test_it_listens_on_loopback_alone(served, host):
    with pytest.raises(Refused, match="loopback"):
        PanelServer(served.panel, host, 0)


def test_a_token_works_once_and_for_a_while(tmp_path):
    now = itertools.count(1000.0, 0.0).__next__
    key = read_key(tmp_path)
    assert (tmp_path / "panel.key").stat().st_mode & 0o077 == 0
    access = Access(key, now)
    token = make_token(key, 60, now)
    cookie = access.admit(token)
    assert cookie is not None and access.knows(cookie)
    assert access.admit(token) is None, "used"
    assert Access(key, lambda: 1001.0).admit(token) is None, "made before this daemon"
    assert Access(read_key(tmp_path), now).knows(cookie), "the cookie outlives the daemon"
    assert access.allows(cookie, access.permit(cookie))
    assert not access.allows(cookie, access.permit("another"))


def test_an_old_or_changed_token_is_worth_nothing(tmp_path):
    key, times = read_key(tmp_path), iter([1000.0, 1000.0, 1061.0])
    access = Access(key, times.__next__)
    assert access.admit(make_token(key, 60, times.__next__)) is None, "old"
    for token in ("", ".", "a.b", "1~2~3.", "1000~9e9~x." + "A" * 43, "é.é", "\udcff.x"):
        assert Access(key).admit(token) is None
        assert not Access(key).knows(token)
