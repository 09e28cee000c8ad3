"""The number of messages of a conversation, and the sums of an owner's, kept by triggers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

Count = sa.BigInteger().with_variant(sa.Integer, "sqlite")

_ADD = (
    "INSERT INTO owner_totals (owner, part, conversations, size) "
    "VALUES (new.owner, new.seq % 16, 1, new.size) ON CONFLICT (owner, part) DO UPDATE SET "
    "conversations = owner_totals.conversations + 1, size = owner_totals.size + new.size;"
)
_TAKE = (
    "UPDATE owner_totals SET conversations = conversations - 1, size = size - old.size "
    "WHERE owner = old.owner AND part = old.seq % 16;"
)
_CHANGE = (
    "UPDATE owner_totals SET size = size + new.size - old.size "
    "WHERE owner = old.owner AND part = old.seq % 16;"
)
_SQLITE = {
    "added": f"AFTER INSERT ON conversations BEGIN {_ADD} END",
    "deleted": f"AFTER DELETE ON conversations BEGIN {_TAKE} END",
    "changed": (
        "AFTER UPDATE OF size ON conversations WHEN old.owner = new.owner "
        f"AND old.size <> new.size BEGIN {_CHANGE} END"
    ),
    "moved": (
        "AFTER UPDATE OF owner ON conversations WHEN old.owner <> new.owner "
        f"BEGIN {_TAKE} {_ADD} END"
    ),
}
_POSTGRESQL = (
    f"""CREATE FUNCTION owner_totals_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND old.owner = new.owner THEN
        {_CHANGE}
        RETURN NULL;
    END IF;
    IF TG_OP <> 'INSERT' THEN {_TAKE} END IF;
    IF TG_OP <> 'DELETE' THEN {_ADD} END IF;
    RETURN NULL;
END $$""",
    "CREATE TRIGGER owner_totals_added AFTER INSERT OR DELETE ON conversations "
    "FOR EACH ROW EXECUTE FUNCTION owner_totals_kept()",
    "CREATE TRIGGER owner_totals_changed AFTER UPDATE OF owner, size ON conversations "
    "FOR EACH ROW WHEN (old.owner <> new.owner OR old.size <> new.size) "
    "EXECUTE FUNCTION owner_totals_kept()",
)


def upgrade() -> None:
    """Count what is there, and keep the sums from now on."""
    op.add_column("conversations", sa.Column("messages", Count, nullable=False, server_default="0"))
    op.create_table(
        "owner_totals",
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("part", sa.Integer, nullable=False),
        sa.Column("conversations", Count, nullable=False),
        sa.Column("size", Count, nullable=False),
        sa.PrimaryKeyConstraint("owner", "part", name="pk_owner_totals"),
    )
    sqlite = op.get_bind().dialect.name == "sqlite"
    if not sqlite:
        op.execute("LOCK TABLE conversations, messages IN SHARE ROW EXCLUSIVE MODE")
    op.execute(
        "UPDATE conversations SET messages = (SELECT count(*) FROM messages "
        "WHERE messages.conversation_id = conversations.id)"
    )
    op.execute(
        "INSERT INTO owner_totals (owner, part, conversations, size) "
        "SELECT owner, seq % 16, count(*), sum(size) FROM conversations GROUP BY owner, seq % 16"
    )
    op.drop_index("ix_conversations_owner_size", "conversations")
    for statement in (
        [f"CREATE TRIGGER owner_totals_{name} {what}" for name, what in _SQLITE.items()]
        if sqlite
        else _POSTGRESQL
    ):
        op.execute(statement)


def downgrade() -> None:
    """Go back to version 0003."""
    if op.get_bind().dialect.name == "sqlite":
        for name in _SQLITE:
            op.execute(f"DROP TRIGGER owner_totals_{name}")
    else:
        for name in ("added", "changed"):
            op.execute(f"DROP TRIGGER owner_totals_{name} ON conversations")
        op.execute("DROP FUNCTION owner_totals_kept()")
    op.drop_table("owner_totals")
    op.create_index("ix_conversations_owner_size", "conversations", ["owner", "size"])
    op.drop_column("conversations", "messages")
