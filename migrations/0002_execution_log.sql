-- What happened in runs, for people. Partitioned by day in UTC; the logs worker adds days ahead and drops old ones.

CREATE TABLE execution_log (
    id          uuid NOT NULL,
    at          timestamptz NOT NULL,
    run_id      uuid NOT NULL,
    concept_id  uuid,
    step        text,
    level       text NOT NULL CHECK (level IN ('debug', 'info', 'warning', 'error')),
    category    text NOT NULL CHECK (category IN ('run', 'step', 'model', 'content', 'queue')),
    message     text NOT NULL,
    details     jsonb NOT NULL,
    duration_ms integer CHECK (duration_ms >= 0),
    PRIMARY KEY (id, at)
) PARTITION BY RANGE (at);
CREATE INDEX execution_log_run ON execution_log (run_id, at, id);

-- Takes what no day takes: before the first worker has started, or from a producer whose clock is wrong.
CREATE TABLE execution_log_default PARTITION OF execution_log DEFAULT;

-- `id` is the entry's own id, or the batch's when all of it was unreadable; so a second delivery changes nothing.
CREATE TABLE log_dead_letters (
    id       uuid PRIMARY KEY,
    batch_id uuid NOT NULL,
    raw      bytea NOT NULL,
    error    text NOT NULL,
    at       timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX log_dead_letters_at ON log_dead_letters (at);

-- True: the day was added. False: it was there, or another process is at it.
-- Rows of that day in the DEFAULT partition would refuse it, so they move first. Writers wait at the parent: one that
-- waited at the DEFAULT partition would find that its row no longer belongs there.
CREATE FUNCTION execution_log_add_day(day date) RETURNS boolean LANGUAGE plpgsql SET lock_timeout = '2s' AS $$
DECLARE
    name   text := 'execution_log_' || to_char(day, 'YYYYMMDD');
    opens  timestamptz := day::timestamp AT TIME ZONE 'UTC';
    closes timestamptz := (day + 1)::timestamp AT TIME ZONE 'UTC';
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtext('execution_log')) THEN
        RETURN false;
    END IF;
    IF to_regclass(name) IS NOT NULL THEN
        RETURN false;
    END IF;
    LOCK TABLE ONLY execution_log IN SHARE ROW EXCLUSIVE MODE;
    EXECUTE format('CREATE TABLE %I (LIKE execution_log INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', name);
    EXECUTE format(
        'WITH moved AS (DELETE FROM execution_log_default WHERE at >= %L AND at < %L RETURNING *)
         INSERT INTO %I SELECT * FROM moved', opens, closes, name);
    EXECUTE format(
        'ALTER TABLE execution_log ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', name, opens, closes);
    RETURN true;
END
$$;

-- Drops the oldest day before `first` and returns its name; NULL when there is none or another process is at it.
CREATE FUNCTION execution_log_drop_day(first date) RETURNS text LANGUAGE plpgsql SET lock_timeout = '2s' AS $$
DECLARE
    oldest text;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtext('execution_log')) THEN
        RETURN NULL;
    END IF;
    SELECT c.relname INTO oldest
    FROM pg_inherits i
    JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'execution_log'::regclass
        AND c.relname ~ '^execution_log_[0-9]{8}$'
        AND right(c.relname, 8) < to_char(first, 'YYYYMMDD')
    ORDER BY c.relname
    LIMIT 1;
    IF oldest IS NOT NULL THEN
        EXECUTE format('DROP TABLE %I', oldest);
    END IF;
    RETURN oldest;
END
$$;
