"""Conversations, and the trees of their messages."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

Count = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "conversations",
        sa.Column("seq", Count, primary_key=True, autoincrement=True),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("search", sa.Text, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("updated_at", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_conversations"),
        sa.UniqueConstraint("id", name="uq_conversations_id"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_conversations_owner_updated_at_seq", "conversations", ["owner", "updated_at", "seq"]
    )
    op.create_table(
        "messages",
        sa.Column("seq", Count, primary_key=True, autoincrement=True),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("conversation_id", sa.Text, nullable=False),
        sa.Column("parent_id", sa.Text),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("search", sa.Text, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("lease_until", sa.Double),
        sa.Column("reasoning", sa.Text),
        sa.Column("model", sa.Text),
        sa.Column("usage", sa.Text),
        sa.Column("first_token_ms", sa.Double),
        sa.Column("run_id", sa.Text),
        sa.Column("error", sa.Text),
        sa.PrimaryKeyConstraint("seq", name="pk_messages"),
        sa.UniqueConstraint("id", name="uq_messages_id"),
        sa.ForeignKeyConstraint(
            ["conversation_id"],
            ["conversations.id"],
            name="fk_messages_conversation_id",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(["parent_id"], ["messages.id"], name="fk_messages_parent_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_messages_parent_id", "messages", ["parent_id"])
    op.create_index("ix_messages_lease_until", "messages", ["lease_until"])
    op.create_index("ix_messages_conversation_id_seq", "messages", ["conversation_id", "seq"])
    op.create_index(
        "ix_messages_conversation_id_lease_until", "messages", ["conversation_id", "lease_until"]
    )


def downgrade() -> None:
    """Go back to nothing: the conversations are lost."""
    op.drop_table("messages")
    op.drop_table("conversations")
