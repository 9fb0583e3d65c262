"""What the lease says to PostgreSQL. Row ``brain`` is who is awake, row ``brain pulse`` that it still moves."""

from typing import Final

# The number of the lock is "KITTY" in two parts: 75 and 0x49545459.
TRY: Final = "SELECT pg_try_advisory_lock(323352810585)"

# Who is, or was, awake, and which session has the lock now.
LOOK: Final = """
    SELECT b.owner, b.fence, b.info, p.until, (
        SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted
        AND classid = 75 AND objid = 1230263385 AND objsubid = 1
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    ) FROM leases b LEFT JOIN leases p ON p.name = 'brain pulse' WHERE b.name = 'brain'
"""

TAKE: Final = """
    INSERT INTO leases (name, owner, fence, until, info) VALUES ('brain', %(owner)s, 1, 0, %(info)s)
    ON CONFLICT (name) DO UPDATE
    SET owner = excluded.owner, fence = leases.fence + 1, info = excluded.info RETURNING fence
"""

FORGET: Final = "DELETE FROM leases WHERE name = 'brain pulse'"

# The pulse of a later owner is not touched.
BEAT: Final = """
    INSERT INTO leases (name, owner, fence, until, info) VALUES (
        'brain pulse', %(owner)s, %(fence)s, extract(epoch FROM clock_timestamp()) + %(ttl)s, '{}'
    ) ON CONFLICT (name) DO UPDATE
    SET owner = excluded.owner, fence = excluded.fence, until = excluded.until
    WHERE leases.fence <= excluded.fence RETURNING fence
"""

# End all sessions of a brain: by its name, and what any other left open; or by the one that has the lock, if the
# pulse still stands still.
END: Final = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND (
        application_name = %(name)s
        OR application_name LIKE 'kitty-brain %%' AND state LIKE 'idle in transaction%%'
    )
"""
END_HOLDER: Final = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name = (
        SELECT application_name FROM pg_stat_activity WHERE pid = %(session)s
    ) AND EXISTS (SELECT 1 FROM leases WHERE name = 'brain pulse' AND until = %(until)s)
"""
END_MINE: Final = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE pid = %(session)s AND application_name = %(name)s
"""
