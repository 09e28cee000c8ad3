"""The index for searches. What is there is indexed afterwards, in small transactions (`search.py`)."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from stream_serve.conversations.sql.search import IN_SQLITE, has_fts5

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the index; no message is in it yet."""
    op.add_column(
        "messages", sa.Column("indexed", sa.Boolean, nullable=False, server_default=sa.false())
    )
    op.create_index(
        "ix_messages_unindexed",
        "messages",
        ["seq"],
        sqlite_where=sa.text("indexed = 0"),
        postgresql_where=sa.text("NOT indexed"),
    )
    if op.get_bind().dialect.name == "sqlite":
        for statement in IN_SQLITE if has_fts5() else ():
            op.execute(statement)
    else:
        op.execute("ALTER TABLE messages ADD COLUMN grams INTEGER[]")
        op.execute("CREATE INDEX ix_messages_grams ON messages USING gin (grams)")


def downgrade() -> None:
    """Go back to version 0002."""
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER IF EXISTS message_grams_deleted")
        op.execute("DROP TABLE IF EXISTS message_grams")
    else:
        op.execute("DROP INDEX ix_messages_grams")
        op.execute("ALTER TABLE messages DROP COLUMN grams")
    op.drop_index("ix_messages_unindexed", "messages")
    op.drop_column("messages", "indexed")
