"""`Speech`: the paced pieces of an answer and its proper end, for all scenarios."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from stream_serve.testing.chunks import ANSWER, DONE, Chunks, pieces, usage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from stream_serve.testing.reply import Reply
    from stream_serve.testing.script import Ask, Value

# Parameters of every scenario with a text. `interval` is seconds between pieces, `size` is
# characters a piece, `tokens` the number of pieces (0: the text once), an empty text the default.
# After `hold` pieces (0: never) nothing more comes until a test releases the answer.
TEXT: Final[dict[str, Value]] = {"tokens": 0, "interval": 0.0, "hold": 0, "size": 4, "text": ""}
FEW: Final[dict[str, Value]] = {**TEXT, "tokens": 3}


class Speech:
    """One answer while it is sent: the chunks of one completion and the pieces of its text."""

    def __init__(
        self,
        reply: Reply,
        ask: Ask,
        *,
        text: str | None = None,
        tokens: int | None = None,
        usage_null: bool | None = None,
    ) -> None:
        with_null = ask.stream and ask.include_usage if usage_null is None else usage_null
        self.chunks: Final = Chunks(ask.model, usage_null=with_null)
        self.reply: Final = reply
        self.ask: Final = ask
        self.said: int = 0
        self._text: Final = text if text is not None else (ask.string("text") or ANSWER)
        self._tokens: Final = tokens

    def pieces(self) -> Iterable[str]:
        """Return the pieces that the parameters ask for."""
        if not self._text:
            return []
        tokens = self.ask.integer("tokens") if self._tokens is None else self._tokens
        return pieces(self._text, size=self.ask.integer("size"), tokens=tokens)

    def whole(self) -> str:
        """Return the whole text, which counts as said."""
        said = list(self.pieces())
        self.said += len(said)
        return "".join(said)

    def events(self, *, with_usage: bool | None = None) -> Iterator[bytes]:
        """Yield all events of a proper answer, from the role to `[DONE]`."""
        yield self.chunks.role()
        for piece in self.pieces():
            yield self.chunks.text(piece)
            self.said += 1
        yield self.chunks.finish()
        if self.ask.include_usage if with_usage is None else with_usage:
            yield self.chunks.usage(self.totals())
        yield DONE

    async def say(self, texts: Iterable[str] | None = None) -> None:
        """Send the pieces, each as a chunk with text, at the pace that was asked for."""
        for piece in self.pieces() if texts is None else texts:
            await self.reply.send(self.chunks.text(piece))
            self.said += 1
            await self.pace()

    async def pace(self) -> None:
        """Wait `interval` seconds, after `hold` pieces for the release; what is released never waits."""
        interval, hold = self.ask.number("interval"), self.ask.integer("hold")
        if hold and not self.reply.record.released:
            await self.reply.held(None if self.said >= hold else interval)
        else:
            await self.reply.pause(0 if hold else interval)

    def totals(self, **details: int) -> dict[str, Any]:
        """Return the usage of the text sent so far."""
        return usage(self.ask.prompt_tokens, self.said, **details)

    async def close(
        self,
        reason: str | None = "stop",
        *,
        totals: dict[str, Any] | None = None,
        with_usage: bool | None = None,
    ) -> None:
        """End the answer properly: the finish reason, the usage if asked for, `[DONE]`.

        Without a `reason` its chunk is left out.
        """
        if reason is not None:
            await self.reply.send(self.chunks.finish(reason))
        if self.ask.include_usage if with_usage is None else with_usage:
            await self.reply.send(self.chunks.usage(totals or self.totals()))
        await self.reply.send(DONE)
        await self.reply.end()


async def begin(reply: Reply, ask: Ask) -> Speech:
    """Send the role and the pieces, and return the answer, which is still open."""
    speech = Speech(reply, ask)
    await reply.send(speech.chunks.role())
    await speech.say()
    return speech
