"""What was sent is counted by content, and by who took it."""

from __future__ import annotations

from rede_p2p.upload import upload_tally
from rede_p2p.upload.upload_tally import Given, UploadTally


def test_what_was_sent_is_counted_by_content_and_in_all():
    tally = UploadTally()
    tally.add(b"a", "10.0.0.7", 3)
    tally.add(b"b", "10.0.0.8", 5)
    tally.add(b"a", "10.0.0.8", 4)
    tally.add(None, "10.0.0.9", 1)  # a file that is not hashed yet
    tally.add(b"c", "10.0.0.10", 0)
    assert [tally.sent(root) for root in (b"a", b"b", b"c", None)] == [7, 5, 0, 0]
    assert tally.given() == Given(13, 3)


def test_of_very_many_addresses_only_the_bytes_are_counted(monkeypatch):
    monkeypatch.setattr(upload_tally, "MAX_ADDRESSES", 2)
    tally = UploadTally()
    for number in range(5):
        tally.add(b"a", f"10.0.0.{number}", 1)
    assert tally.given() == Given(5, 2)
