"""Tool calls, results and sources of messages, the callers' own ids, and what a door keeps."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

Count = sa.BigInteger().with_variant(sa.Integer, "sqlite")

_TEXTS = ("tool_calls", "sources", "tool_call_id", "name", "caller_id", "door", "ending")
_NAMED = sa.text("caller_id IS NOT NULL")


def upgrade() -> None:
    """Add the columns; what is there has none of that."""
    op.add_column("conversations", sa.Column("caller_id", sa.Text))
    for name in _TEXTS:
        op.add_column("messages", sa.Column(name, sa.Text))
    op.add_column("messages", sa.Column("door_size", Count, nullable=False, server_default="0"))
    op.add_column(
        "messages", sa.Column("erased", sa.Boolean, nullable=False, server_default=sa.false())
    )
    op.create_index(
        "uq_conversations_owner_caller_id",
        "conversations",
        ["owner", "caller_id"],
        unique=True,
        sqlite_where=_NAMED,
        postgresql_where=_NAMED,
    )
    op.create_index(
        "ix_messages_conversation_id_caller_id",
        "messages",
        ["conversation_id", "caller_id"],
        sqlite_where=_NAMED,
        postgresql_where=_NAMED,
    )
    op.create_index("ix_messages_run_id", "messages", ["run_id"])


def downgrade() -> None:
    """Go back to version 0004: tool calls, results' calls and the callers' own ids are lost."""
    op.drop_index("ix_messages_run_id", "messages")
    op.drop_index("ix_messages_conversation_id_caller_id", "messages")
    op.drop_index("uq_conversations_owner_caller_id", "conversations")
    for name in (*_TEXTS, "door_size", "erased"):
        op.drop_column("messages", name)
    op.drop_column("conversations", "caller_id")
