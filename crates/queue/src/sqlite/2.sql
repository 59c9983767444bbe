-- The trace that a job belongs to.
ALTER TABLE jobs ADD COLUMN trace TEXT NOT NULL DEFAULT '';
