-- Accounts, roadmaps, runs, content, events. Closed sets are compared with the Python enums by tests/house.

-- One row: which database this is. A Redis that serves another one is refused at start.
CREATE TABLE installation (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid()
);
INSERT INTO installation DEFAULT VALUES;

CREATE TABLE users (
    id          uuid PRIMARY KEY,
    email       text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX users_email ON users (lower(email));

CREATE TABLE api_keys (
    id           uuid PRIMARY KEY,
    user_id      uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name         text NOT NULL,
    sha256       bytea NOT NULL UNIQUE CHECK (octet_length(sha256) = 32),
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz,
    last_used_at timestamptz,
    revoked_at   timestamptz
);
CREATE INDEX api_keys_user ON api_keys (user_id);

CREATE TABLE roadmaps (
    id              uuid PRIMARY KEY,
    user_id         uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    goal            text NOT NULL CHECK (char_length(goal) BETWEEN 3 AND 2000),
    preferences     jsonb NOT NULL,
    title           text,
    current_version integer,
    latest_run_id   uuid NOT NULL,
    event_seq       bigint NOT NULL DEFAULT 0,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    deleted_at      timestamptz
);
CREATE INDEX roadmaps_user ON roadmaps (user_id, id DESC) WHERE deleted_at IS NULL;

CREATE TABLE roadmap_versions (
    roadmap_id    uuid NOT NULL REFERENCES roadmaps (id) ON DELETE CASCADE,
    version       integer NOT NULL CHECK (version > 0),
    structure     jsonb NOT NULL,
    report        jsonb NOT NULL,
    concept_count integer NOT NULL,
    minutes       integer NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (roadmap_id, version)
);

CREATE TABLE runs (
    id            uuid PRIMARY KEY,
    roadmap_id    uuid NOT NULL REFERENCES roadmaps (id) ON DELETE CASCADE,
    user_id       uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    kind          text NOT NULL CHECK (kind IN ('create')),
    status        text NOT NULL DEFAULT 'queued'
                  CHECK (status IN ('queued', 'drafting', 'writing', 'succeeded', 'incomplete', 'failed', 'canceled')),
    claim         integer NOT NULL DEFAULT 0,
    claimed_by    text,
    failures      integer NOT NULL DEFAULT 0,
    crashes       integer NOT NULL DEFAULT 0,
    due_at        timestamptz DEFAULT now() + interval '10 seconds',
    not_before    timestamptz,
    error_code    text,
    error_message text,
    report        jsonb,
    created_at    timestamptz NOT NULL DEFAULT now(),
    started_at    timestamptz,
    planned_at    timestamptz,
    finished_at   timestamptz,
    CHECK ((finished_at IS NULL) = (status IN ('queued', 'drafting', 'writing')))
);
CREATE INDEX runs_roadmap ON runs (roadmap_id, id DESC);
CREATE INDEX runs_due ON runs (due_at) WHERE due_at IS NOT NULL;
-- Two runs at once on one roadmap would write over each other.
CREATE UNIQUE INDEX runs_one_active ON runs (roadmap_id) WHERE status IN ('queued', 'drafting', 'writing');
-- Few of a user's runs are active; the whole index also serves the user's deletion.
CREATE INDEX runs_user ON runs (user_id, status);
CREATE INDEX roadmaps_run ON roadmaps (latest_run_id);
ALTER TABLE roadmaps ADD FOREIGN KEY (latest_run_id) REFERENCES runs (id) DEFERRABLE INITIALLY DEFERRED;

CREATE TABLE run_steps (
    run_id      uuid NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    key         text NOT NULL,
    output      jsonb NOT NULL,
    duration_ms integer NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (run_id, key)
);

CREATE TABLE content (
    roadmap_id    uuid NOT NULL REFERENCES roadmaps (id) ON DELETE CASCADE,
    concept_id    uuid NOT NULL,
    kind          text NOT NULL CHECK (kind IN ('tutorial', 'resources', 'quiz')),
    run_id        uuid NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    status        text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'writing', 'ready', 'failed')),
    version       integer NOT NULL DEFAULT 0,
    claim         integer NOT NULL DEFAULT 0,
    claimed_by    text,
    failures      integer NOT NULL DEFAULT 0,
    crashes       integer NOT NULL DEFAULT 0,
    due_at        timestamptz,
    not_before    timestamptz,
    error_code    text,
    error_message text,
    updated_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (roadmap_id, concept_id, kind)
);
CREATE INDEX content_due ON content (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX content_run ON content (run_id);

CREATE TABLE content_versions (
    roadmap_id  uuid NOT NULL,
    concept_id  uuid NOT NULL,
    kind        text NOT NULL,
    version     integer NOT NULL CHECK (version > 0),
    run_id      uuid NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    body        jsonb NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (roadmap_id, concept_id, kind, version),
    FOREIGN KEY (roadmap_id, concept_id, kind) REFERENCES content (roadmap_id, concept_id, kind) ON DELETE CASCADE
);

CREATE INDEX content_versions_run ON content_versions (run_id);

CREATE TABLE events (
    roadmap_id uuid NOT NULL REFERENCES roadmaps (id) ON DELETE CASCADE,
    seq        bigint NOT NULL,
    type       text NOT NULL,
    payload    jsonb NOT NULL,
    at         timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (roadmap_id, seq)
);

CREATE TABLE idempotency_keys (
    user_id     uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    scope       text NOT NULL,
    key         text NOT NULL,
    fingerprint bytea NOT NULL,
    answer      jsonb NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, scope, key)
);
CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);
