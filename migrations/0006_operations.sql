-- Who may operate the service, and which processes are alive.

ALTER TABLE api_keys ADD COLUMN operator boolean NOT NULL DEFAULT false;

-- One row for each living process, written every few seconds and removed at its end. A row that is not renewed belongs
-- to a process that died, or sleeps. No index but the key's: the table is small, and its rows are renewed in place.
CREATE TABLE workers (
    name             text PRIMARY KEY,
    process          text NOT NULL CHECK (process IN ('web', 'content', 'logs')),
    host             text NOT NULL,
    pid              integer NOT NULL,
    version          text NOT NULL,
    started_at       timestamptz NOT NULL,
    seen_at          timestamptz NOT NULL DEFAULT now(),
    polled_at        timestamptz,  -- when it last looked at its queue; NULL: it has none, or cannot tell
    running          integer NOT NULL,  -- jobs
    loop_lag_ms      integer NOT NULL,  -- the longest in the last few seconds
    memory_bytes     bigint NOT NULL,
    connections      integer NOT NULL,
    connections_used integer NOT NULL
);
