"""Which setting sets what an error is about."""

from __future__ import annotations

from typing import Final

SETTING_OF: Final = {
    "Bounds.bytes": "max_run_bytes",
    "Bounds.events": "max_run_events",
    "Capacity.all_bytes": "max_conversation_bytes_per_key",
    "Capacity.bytes": "max_conversation_bytes",
    "Capacity.conversations": "max_conversations_per_key",
    "Capacity.messages": "max_conversation_messages",
    "Conversations.tokens": "history_tokens",
    "Endpoint.model": "model",
    "Endpoint.url": "upstream_url",
    "Limits.each": "max_runs_per_key",
    "Limits.retention": "run_retention",
    "Limits.run": "run_timeout",
    "Limits.total": "max_runs",
    "OpenAIProvider.connect_timeout": "connect_timeout",
    "OpenAIProvider.max_event_bytes": "max_event_bytes",
    "Quota.bytes": "max_stream_bytes_per_key",
    "Quota.streams": "max_streams_per_key",
    "Readers.most": "max_readers_per_key",
    "Rules.stream_bytes": "max_stream_bytes",
    "Traits.require_finish": "require_finish",
    "Patience.first_token": "first_token_timeout",
    "Patience.idle": "idle_timeout",
    "RedisClient.timeout": "redis_timeout",
    "RedisClient.url": "redis_url",
    "RedisStore.url": "streams_url",
    "SQLiteEventLog.path": "run_log",
    "SQLiteStore.path": "streams_url",
    "SQLHistory.url": "database_url",
}
"""The setting that sets each parameter which an error may be about."""
