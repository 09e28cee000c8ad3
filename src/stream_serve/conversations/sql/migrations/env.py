"""Alembic's environment: runs the migrations on a given connection, in its open transaction."""

from __future__ import annotations

from alembic import context

from stream_serve.conversations.sql.schema import VERSION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    transactional_ddl=True,
    compare_server_default=True,
)
with context.begin_transaction():
    context.run_migrations()
