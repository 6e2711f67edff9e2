-- The ledger: one row for every HTTP call to a model, made before the call and settled with the piece that it served.

CREATE TABLE model_calls (
    id            uuid PRIMARY KEY,
    run_id        uuid NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    concept_id    uuid,
    kind          text,
    claim         integer NOT NULL,
    purpose       text NOT NULL,
    provider      text NOT NULL,
    model         text NOT NULL,
    prompt_hash   text NOT NULL CHECK (char_length(prompt_hash) = 64),
    round         smallint NOT NULL,
    status        text NOT NULL CHECK (status IN ('open', 'ok', 'unusable', 'outage')),
    input_tokens  integer NOT NULL DEFAULT 0,
    output_tokens integer NOT NULL DEFAULT 0,
    cost_micros   bigint NOT NULL DEFAULT 0,
    latency_ms    integer,
    finish_reason text,
    error         text,
    created_at    timestamptz NOT NULL DEFAULT now(),
    settled_at    timestamptz
);
CREATE INDEX model_calls_run ON model_calls (run_id);
