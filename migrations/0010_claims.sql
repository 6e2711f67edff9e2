-- Since when a run is held, and what each process's part of the log's pipeline holds.

ALTER TABLE runs ADD COLUMN claimed_at timestamptz;  -- of the latest claim; NULL: there was none, or by older code

-- Entries of the execution log, of this process since its start: not seen in PostgreSQL, lost, written to stderr.
ALTER TABLE workers ADD COLUMN log_waiting integer NOT NULL DEFAULT 0;
ALTER TABLE workers ADD COLUMN log_dropped bigint NOT NULL DEFAULT 0;
ALTER TABLE workers ADD COLUMN log_spilled bigint NOT NULL DEFAULT 0;
