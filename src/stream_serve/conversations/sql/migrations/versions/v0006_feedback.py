"""What callers keep with a conversation, and what readers think of an answer."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

Count = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Add the columns; what is there has none of that."""
    op.add_column("conversations", sa.Column("metadata", sa.Text))
    op.add_column(
        "conversations", sa.Column("metadata_size", Count, nullable=False, server_default="0")
    )
    op.add_column("messages", sa.Column("feedback", sa.Text))


def downgrade() -> None:
    """Go back to version 0005: metadata and feedback are lost."""
    op.execute("UPDATE conversations SET size = size - metadata_size")
    op.drop_column("messages", "feedback")
    op.drop_column("conversations", "metadata_size")
    op.drop_column("conversations", "metadata")
