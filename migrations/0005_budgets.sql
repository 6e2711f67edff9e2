-- Budgets in micro-dollars: of a roadmap over all its runs, and of a learner over a day.

ALTER TABLE roadmaps ADD COLUMN max_cost_micros bigint CHECK (max_cost_micros > 0);  -- NULL: no limit

-- What a call may cost at most, reserved before it is made. NULL user: made by code from before budgets.
ALTER TABLE model_calls ADD COLUMN reserved_micros bigint NOT NULL DEFAULT 0 CHECK (reserved_micros >= 0);
ALTER TABLE model_calls ADD COLUMN user_id uuid REFERENCES users (id) ON DELETE CASCADE;
CREATE INDEX model_calls_user ON model_calls (user_id, created_at);
