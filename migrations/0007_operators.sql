-- Operators' accounts and what they did, queues that they paused, figures of jobs by the minute, workers that hibernate.

-- Who may see and operate the service with a password. Learners have none, and API keys have their own `operator`.
ALTER TABLE users ADD COLUMN role text NOT NULL DEFAULT 'learner';
ALTER TABLE users ADD CONSTRAINT users_role_check CHECK (role IN ('learner', 'viewer', 'operator')) NOT VALID;
ALTER TABLE users VALIDATE CONSTRAINT users_role_check;
ALTER TABLE users ADD COLUMN password_hash text;  -- argon2id; NULL: cannot sign in
-- A session names the generation that it was begun in; a new password, or another role, ends those before it.
ALTER TABLE users ADD COLUMN session_generation integer NOT NULL DEFAULT 0;

-- Sign-ins that failed lately, by address and by account: what limits guessing, on every replica alike.
CREATE TABLE sign_in_failures (
    subject    text PRIMARY KEY CHECK (char_length(subject) <= 300),
    failures   integer NOT NULL,
    first_at   timestamptz NOT NULL DEFAULT now(),
    last_at    timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX sign_in_failures_last ON sign_in_failures (last_at);

-- What operators did, and who tried to become one.
CREATE TABLE audit_log (
    id       uuid PRIMARY KEY,
    at       timestamptz NOT NULL DEFAULT now(),
    user_id  uuid REFERENCES users (id) ON DELETE SET NULL,
    actor    text NOT NULL,  -- an e-mail address, or where there is none what it was instead
    address  text,  -- of the client; NULL: the command line
    action   text NOT NULL CHECK (action IN (
        'signed_in', 'sign_in_refused', 'signed_out', 'account_created', 'password_set', 'role_set', 'key_created',
        'key_revoked', 'dead_jobs_retried', 'dead_jobs_discarded', 'run_canceled', 'roadmap_completed',
        'queue_paused', 'queue_resumed'
    )),
    subject  text NOT NULL,  -- what it was done to: an id, a queue, an address
    details  jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX audit_log_at ON audit_log (at);

-- Its workers take no more jobs until it is resumed.
CREATE TABLE paused_queues (
    name      text PRIMARY KEY CHECK (name IN ('content', 'logs')),
    paused_at timestamptz NOT NULL DEFAULT now(),
    paused_by text NOT NULL
);

-- What one process did of one function in one minute; it writes the row again while the minute lasts. `waits` and
-- `durations` count jobs by time, in the buckets of roadmap/figures.
CREATE TABLE process_minutes (
    minute      timestamptz NOT NULL,
    function    text NOT NULL,
    process     text NOT NULL,  -- its own name, whatever roles it serves
    offered     integer NOT NULL,
    succeeded   integer NOT NULL,
    failed      integer NOT NULL,
    returned    integer NOT NULL,  -- handed back, to be done again
    wait_ms     bigint NOT NULL,
    duration_ms bigint NOT NULL,
    waits       integer[] NOT NULL,
    durations   integer[] NOT NULL,
    PRIMARY KEY (minute, function, process)
);

-- The same of all processes together, once a minute is over; for seven days.
CREATE TABLE function_minutes (
    function    text NOT NULL,
    minute      timestamptz NOT NULL,
    offered     integer NOT NULL,
    succeeded   integer NOT NULL,
    failed      integer NOT NULL,
    returned    integer NOT NULL,
    wait_ms     bigint NOT NULL,
    duration_ms bigint NOT NULL,
    waits       integer[] NOT NULL,
    durations   integer[] NOT NULL,
    PRIMARY KEY (function, minute)
);
CREATE INDEX function_minutes_minute ON function_minutes (minute);

-- A worker that hibernates keeps its row, holds no connection, and wakes when this address is asked.
ALTER TABLE workers ADD COLUMN hibernating_since timestamptz;
ALTER TABLE workers ADD COLUMN wake_url text;
-- Since when nobody has answered there; NULL: who was asked last did.
ALTER TABLE workers ADD COLUMN asked_in_vain_since timestamptz;
ALTER TABLE workers ADD CONSTRAINT workers_hibernating_check CHECK (hibernating_since IS NULL OR wake_url IS NOT NULL)
    NOT VALID;
ALTER TABLE workers VALIDATE CONSTRAINT workers_hibernating_check;
