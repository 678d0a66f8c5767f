"""A long table leaves as CSV without ever being whole in the web process."""

from __future__ import annotations

from collections.abc import Iterator

from marketdata.exporting import Download


async def test_pieces_of_a_download_are_made_as_they_are_sent():
    made = []

    def pieces() -> Iterator[bytes]:
        for number in range(3):
            made.append(number)
            yield b"%d" % number

    sent = []
    async for piece in Download(pieces()):
        sent.append(piece)
        assert len(made) == len(sent)
    assert sent == [b"0", b"1", b"2"]
