-- no-transaction
CREATE INDEX CONCURRENTLY IF NOT EXISTS content_claimed ON content (claimed_by) WHERE claimed_by IS NOT NULL;
