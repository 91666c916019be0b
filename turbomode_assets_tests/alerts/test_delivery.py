"""Messages to real servers on this machine, in the formats of JSON, Slack, Discord and e-mail."""

import email
import email.policy
import json
import logging

import pytest
from apprise.plugins.discord import NotifyDiscord
from apprise.plugins.slack import NotifySlack

from turbomode_assets.alerts.delivery import (
    does_not_accept,
    ping,
    receivers_of,
    redacted,
)
from turbomode_assets_tests.alerts.receivers import TOKEN, http_receiver, smtp_receiver

SLACK = "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7/#quants"
DISCORD = "discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js"
LINES = "\n".join(f"WARNING: line {number} <b> & *x* " + "z" * 60 for number in range(40))


@pytest.fixture
def receiver():
    with http_receiver() as receiver:
        yield receiver


def send(address, body="CRITICAL: nothing ran", severity="critical"):
    (receiver,) = receivers_of([address])
    return receiver.accepts("turbomode alpha: 1 critical", body, severity)


def test_a_message_arrives_with_title_body_and_severity(receiver):
    assert send(receiver.address)
    ((path, text),) = receiver.came
    told = json.loads(text)
    assert path == f"/{TOKEN}"
    assert (told["title"], told["message"]) == (
        "turbomode alpha: 1 critical",
        "CRITICAL: nothing ran",
    )
    assert told["type"] == "failure"


def test_a_receiver_that_refuses_or_is_not_there_has_not_accepted(receiver):
    receiver.status = 500
    assert not send(receiver.address)
    assert not send("json://127.0.0.1:1/nobody-listens")


def test_slack_gets_its_own_format_and_the_channel(receiver, monkeypatch):
    monkeypatch.setattr(NotifySlack, "webhook_url", f"{receiver.url}/services")
    assert send(SLACK, "CRITICAL: a <b> & c")
    ((path, text),) = receiver.came
    told = json.loads(text)
    assert path == "/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7"
    assert told["channel"] == "#quants"
    attachment = told["attachments"][0]
    assert attachment["title"] == "turbomode alpha: 1 critical"
    assert attachment["text"] == "CRITICAL: a &lt;b&gt; &amp; c"


def test_discord_gets_a_long_message_in_pieces_that_it_takes(receiver, monkeypatch):
    monkeypatch.setattr(NotifyDiscord, "notify_url", f"{receiver.url}/api/webhooks")
    monkeypatch.setattr(NotifyDiscord, "request_rate_per_sec", 0)
    assert send(DISCORD, LINES)
    pieces = [json.loads(text)["content"] for _, text in receiver.came]
    assert len(pieces) > 1
    assert all(len(piece) <= 2000 for piece in pieces)
    assert all(f"line {number} " in "".join(pieces) for number in range(40))
    assert {path for path, _ in receiver.came} == {
        "/api/webhooks/4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js"
    }


def test_a_mail_arrives_with_the_title_as_its_subject():
    with smtp_receiver() as receiver:
        sender = f"mailto://127.0.0.1:{receiver.port}?from=desk@example.org&to=quant@example.org"
        assert send(sender, "CRITICAL: nothing ran\nWARNING: drift")
    ((_, text),) = receiver.came
    mail = email.message_from_string(text, policy=email.policy.default)
    assert (mail["Subject"], mail["To"]) == ("turbomode alpha: 1 critical", "quant@example.org")
    body = mail.get_body().get_content()
    assert "CRITICAL: nothing ran" in body
    assert "WARNING: drift" in body


def test_what_is_no_address_is_a_receiver_that_takes_nothing():
    named = receivers_of([DISCORD, f"nonsense://{TOKEN}", "slack://too/short", TOKEN])
    assert [each.name for each in named] == [
        "receiver 1 (Discord)",
        "receiver 2",
        "receiver 3",
        "receiver 4",
    ]
    assert not any(each.accepts("t", "b", "info") for each in named[1:])
    told = does_not_accept(named[1])
    assert (told.fingerprint, told.detail) == ("delivery:2", "its address is not understood")


def test_no_address_reaches_a_log_or_an_output(receiver, caplog, capfd, monkeypatch):
    monkeypatch.setattr(NotifySlack, "webhook_url", f"{receiver.url}/services")
    caplog.set_level(logging.DEBUG)
    for status in (200, 500):
        receiver.status = status
        for address in (receiver.address, SLACK, f"json://127.0.0.1:1/{TOKEN}", f"x://{TOKEN}"):
            send(address)
    send(f"mailto://user:{TOKEN}@127.0.0.1:1?from=a@example.org&to=b@example.org")
    ping(f"{receiver.url}/{TOKEN}")
    ping(f"http://127.0.0.1:1/{TOKEN}")
    printed = capfd.readouterr()
    written = caplog.text + printed.out + printed.err + repr(receivers_of([receiver.address]))
    assert TOKEN not in written
    assert "TIiajkdnlazkcOXrIdevi7" not in written
    assert not logging.getLogger("apprise").disabled


def test_the_heartbeat_is_one_call_and_says_what_went_wrong_without_its_address(receiver):
    assert ping(f"{receiver.url}/{TOKEN}") is None
    assert [path for path, _ in receiver.came] == [f"/{TOKEN}"]
    receiver.status = 503
    assert ping(f"{receiver.url}/{TOKEN}") == "it answered 503"
    assert ping(f"http://127.0.0.1:1/{TOKEN}") == "it was not reached (URLError)"
    assert ping(f"file:///{TOKEN}") == "its address does not begin with http:// or https://"


def test_secrets_are_replaced_in_texts():
    assert redacted(f"cannot post to /{TOKEN}/x", [TOKEN]) == "cannot post to /***/x"
