"""The sizes of messages and conversations, for pages and for quotas."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

Count = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Add the sizes, measure what is there, and index them."""
    for name in ("messages", "conversations"):
        op.add_column(name, sa.Column("size", Count, nullable=False, server_default="0"))
    sqlite = op.get_bind().dialect.name == "sqlite"
    length = "length(CAST({} AS BLOB))" if sqlite else "octet_length({})"
    parts = " + ".join(length.format(f"coalesce({name}, '')") for name in ("content", "reasoning"))
    op.execute(sa.text(f"UPDATE messages SET size = {parts}"))  # noqa: S608 - all of it is above
    op.drop_index("ix_messages_conversation_id_seq", "messages")
    op.create_index(
        "ix_messages_conversation_id_seq_size", "messages", ["conversation_id", "seq", "size"]
    )
    op.execute(
        sa.text(
            "UPDATE conversations SET size = (SELECT coalesce(sum(messages.size), 0) FROM messages "
            "WHERE messages.conversation_id = conversations.id)"
        )
    )
    op.create_index("ix_conversations_owner_size", "conversations", ["owner", "size"])


def downgrade() -> None:
    """Go back to version 0001."""
    op.drop_index("ix_conversations_owner_size", "conversations")
    op.drop_index("ix_messages_conversation_id_seq_size", "messages")
    op.create_index("ix_messages_conversation_id_seq", "messages", ["conversation_id", "seq"])
    for name in ("messages", "conversations"):
        op.drop_column(name, "size")
