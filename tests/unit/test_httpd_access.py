# SPDX-License-Identifier: Apache-2.0
"""Who may change something over HTTP: proxies, browsers and foreign names are nobody."""

from __future__ import annotations

import pytest

from curvine.httpd.access import Access, is_loopback
from curvine.httpd.messages import Refused, Request

PORT = 9001
PLAIN = {"host": "127.0.0.1:9001", "accept": "*/*"}


class Rule:
    """The token is "right"; ``open_``: without any token the loopback is enough."""

    def __init__(self, *, open_: bool = True) -> None:
        self._open = open_

    def allows(self, authorization: str | None, *, loopback: bool) -> bool:
        return authorization == "Bearer right" or (self._open and loopback)


def request(
    headers: dict[str, str] | None = None, peer: str = "127.0.0.1", local: str = "127.0.0.1"
) -> Request:
    return Request("GET", "/add-dcm?workers=a", list({**PLAIN, **(headers or {})}.items()),
        peer=peer, local=local, port=PORT)  # fmt: skip


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"host": "localhost:9001"},
        {"host": "LOCALHOST.:9001"},
        {"host": "[::1]:9001"},
        {"host": "127.0.0.2:9001"},
        {"host": "node-7:9001"},
        {"user-agent": "curl/8.5.0"},
    ],
)
def test_a_program_on_this_machine_may(headers: dict[str, str]) -> None:
    Access(Rule(), names=("node-7",)).check_change(request(headers))


@pytest.mark.parametrize("peer", ["::1", "::ffff:127.0.0.1", "127.8.8.8"])
def test_every_loopback_address_counts(peer: str) -> None:
    Access(Rule()).check_change(request(peer=peer, local=peer))


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-For": "10.0.0.9"},
        {"X-Forwarded-Host": "127.0.0.1:9001"},
        {"Forwarded": "for=127.0.0.1"},
        {"Via": "1.1 proxy"},
        {"X-Real-IP": "127.0.0.1"},
        {"Origin": "http://evil.example"},
        {"Origin": "http://127.0.0.1:9001"},
        {"Referer": "http://evil.example/"},
        {"Cookie": "a=b"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Mode": "no-cors"},
        {"Accept-Language": "en"},
        {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64)"},
        {"host": "evil.example:9001"},
        {"host": "evil.example"},
        {"host": "localhost.evil.example:9001"},
        {"host": "127.0.0.1.nip.io:9001"},
        {"host": "127.0.0.1:80"},
        {"host": "127.0.0.1"},
        {"host": ""},
        {"host": "127.0.0.1:9001,evil.example"},
        {"host": "127.0.0.1:9001@evil.example"},
        {"authorization": "Bearer wrong"},
        {"authorization": ""},
    ],
)
def test_what_only_looks_local_may_not(headers: dict[str, str]) -> None:
    access = Access(Rule())
    with pytest.raises(Refused) as refusal:
        access.check_change(request(headers))
    assert refusal.value.status in (401, 403)


def test_other_machines_may_not_without_the_token() -> None:
    with pytest.raises(Refused, match="10\\.0\\.0\\.9 is not this machine"):
        Access(Rule(), hint="ask").check_change(request(peer="10.0.0.9", local="10.0.0.1"))


@pytest.mark.parametrize(
    "headers", [{}, {"X-Forwarded-For": "1.2.3.4"}, {"host": "master.example"}]
)
def test_the_token_is_enough_from_anywhere(headers: dict[str, str]) -> None:
    token = {"authorization": "Bearer right", **headers}
    Access(Rule(open_=False)).check_change(request(token, peer="10.0.0.9", local="10.0.0.1"))


def test_where_a_token_is_configured_the_loopback_is_not_enough() -> None:
    with pytest.raises(Refused, match="token of an administrator"):
        Access(Rule(open_=False)).check_change(request())


def test_a_refusal_never_repeats_what_was_offered(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(Refused) as refusal:
        Access(Rule()).check_change(request({"authorization": "Bearer hunter2hunter2"}))
    assert "hunter2" not in refusal.value.text + caplog.text
    assert "not the administrator's" in caplog.text


def test_reads_on_the_loopback_need_a_host_of_ours() -> None:
    access = Access(Rule(), names=("node-7",))
    for host in ("localhost:8080", "127.0.0.1", "node-7:9001"):
        access.check_read(request({"host": host}))  # other ports: forwarded ones
    with pytest.raises(Refused):
        access.check_read(request({"host": "evil.example:9001"}))
    access.check_read(request({"host": "evil.example:9001", "authorization": "Bearer right"}))
    access.check_read(request({"host": "master.example:9001"}, peer="10.0.0.9", local="10.0.0.1"))


def test_loopback_addresses() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "::1", "::ffff:127.0.0.1", "::1%lo")))
    assert not any(map(is_loopback, ("", "10.0.0.1", "localhost", "::", "0.0.0.0", "127.1")))
