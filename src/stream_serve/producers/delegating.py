"""`DelegatingProducer`: another producer under its own name, for what changes only a part of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stream_serve.events.types import Usage
    from stream_serve.producers.base import Emit, Finish, Patience, Producer


class DelegatingProducer:
    """Is in everything as `producer`, which may be another one later; see the contract `Producer`."""

    def __init__(self, producer: Producer, *, model: str) -> None:
        self.model = model
        self.producer = producer

    @property
    def patience(self) -> Patience | None:
        """That of the producer."""
        return self.producer.patience

    @property
    def prompt_tokens(self) -> int:
        """Those of the producer."""
        return self.producer.prompt_tokens

    @property
    def usage(self) -> Usage | None:
        """That of the producer."""
        return self.producer.usage

    @property
    def closed(self) -> bool | None:
        """Whether the producer's connections are closed."""
        return self.producer.closed

    async def produce(self, emit: Emit) -> Finish:
        """Produce as the producer does."""
        return await self.producer.produce(emit)

    async def close(self) -> None:
        """Close as the producer does."""
        await self.producer.close()
