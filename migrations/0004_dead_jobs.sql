-- Work that was given up: what it was, why, and what an operator did about it. A run's draft, a piece of content and a
-- job on a queue have at most one dead job each that nobody has dealt with; a run or piece shows its failure as well.

CREATE TABLE dead_jobs (
    id          uuid PRIMARY KEY,
    queue       text NOT NULL,
    job_id      text,  -- as on the queue; NULL for work that a row gave up
    function    text,  -- NULL: it could not be read
    payload     jsonb,  -- the job's arguments
    raw         bytea CHECK (octet_length(raw) <= 65536),  -- the beginning of what could not be read
    run_id      uuid REFERENCES runs (id) ON DELETE CASCADE,
    concept_id  uuid,
    kind        text CHECK (kind IN ('tutorial', 'resources', 'quiz')),
    attempts    integer NOT NULL CHECK (attempts >= 0),
    code        text NOT NULL,
    error_class text NOT NULL,
    message     text NOT NULL,  -- public
    traceback   text,  -- for operators
    fingerprint text NOT NULL,
    status      text NOT NULL DEFAULT 'dead' CHECK (status IN ('dead', 'retried', 'discarded')),
    died_at     timestamptz NOT NULL DEFAULT now(),
    resolved_at timestamptz,
    resolved_by text,
    CHECK ((status = 'dead') = (resolved_at IS NULL)),
    CHECK ((kind IS NULL) = (concept_id IS NULL)),
    CHECK (run_id IS NOT NULL OR job_id IS NOT NULL)
);
CREATE UNIQUE INDEX dead_jobs_one_a_piece ON dead_jobs (run_id, concept_id, kind) NULLS NOT DISTINCT
    WHERE status = 'dead' AND job_id IS NULL;
CREATE UNIQUE INDEX dead_jobs_one_a_job ON dead_jobs (queue, job_id) WHERE status = 'dead' AND job_id IS NOT NULL;
CREATE INDEX dead_jobs_open ON dead_jobs (fingerprint, id) WHERE status = 'dead';
CREATE INDEX dead_jobs_run ON dead_jobs (run_id);
CREATE INDEX dead_jobs_resolved ON dead_jobs (resolved_at) WHERE resolved_at IS NOT NULL;

-- A run that makes what is missing or failed, and only that.
ALTER TABLE runs DROP CONSTRAINT runs_kind_check;
ALTER TABLE runs ADD CONSTRAINT runs_kind_check CHECK (kind IN ('create', 'complete')) NOT VALID;
ALTER TABLE runs VALIDATE CONSTRAINT runs_kind_check;
