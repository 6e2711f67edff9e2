-- Budgets in micro-dollars: of a roadmap over all its runs, and of a learner over a day.

ALTER TABLE roadmaps ADD COLUMN max_cost_micros bigint CHECK (max_cost_micros > 0);  -- NULL: no limit

-- What a call may cost at most, reserved before it is made. NULL user: made by code from before budgets.
ALTER TABLE model_calls ADD COLUMN reserved_micros bigint NOT NULL DEFAULT 0 CHECK (reserved_micros >= 0);
ALTER TABLE model_calls ADD COLUMN user_id uuid REFERENCES users (id) ON DELETE CASCADE;
CREATE INDEX model_calls_user ON model_calls (user_id, created_at);

-- What each call counts: a settled one its cost. An open one holds its reservation while its claim is alive. Afterwards
-- nobody will settle it, and it may have been billed: it counts as dear as it can have been.
CREATE VIEW call_costs AS
SELECT calls.id, calls.run_id, calls.user_id, calls.created_at,
    CASE WHEN calls.status <> 'open' THEN calls.cost_micros WHEN live THEN 0 ELSE calls.reserved_micros END
        AS spent_micros,
    CASE WHEN live THEN calls.reserved_micros ELSE 0 END AS held_micros
FROM model_calls AS calls
CROSS JOIN LATERAL (
    SELECT calls.status = 'open' AND CASE WHEN calls.concept_id IS NULL
        THEN EXISTS (
            SELECT FROM runs
            WHERE runs.id = calls.run_id AND runs.status = 'drafting' AND runs.claim = calls.claim
              AND runs.claimed_by IS NOT NULL
        )
        ELSE EXISTS (
            SELECT FROM runs JOIN content ON content.roadmap_id = runs.roadmap_id AND content.run_id = runs.id
            WHERE runs.id = calls.run_id AND runs.status = 'writing' AND content.concept_id = calls.concept_id
              AND content.kind = calls.kind AND content.claim = calls.claim AND content.status = 'writing'
        ) END AS live
) AS claims;
