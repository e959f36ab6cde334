-- How often each index was asked for. Few rows, updated all the time: room on the pages keeps the
-- updates in place (HOT), and vacuum comes by number of changes instead of by share of the table.
CREATE TABLE request_counts (
    number integer PRIMARY KEY CHECK (number BETWEEN 0 AND 40),
    count bigint NOT NULL CHECK (count > 0)
) WITH (
    fillfactor = 20,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 1000
);
