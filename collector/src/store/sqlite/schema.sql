-- The store of slips, layout 1. docs/store.md tells what stands where; times are µs since 1970 (UTC).
CREATE TABLE run (
    id INTEGER PRIMARY KEY,
    site TEXT NOT NULL,                 -- 'local' where there is only one
    number INTEGER NOT NULL,            -- counts the runs of the site
    input TEXT NOT NULL,
    version TEXT NOT NULL,              -- of the program
    started_wall_us INTEGER NOT NULL,
    updated_wall_us INTEGER NOT NULL,
    clock_us INTEGER NOT NULL,          -- clock of the traffic
    first_us INTEGER NOT NULL,
    width_us INTEGER NOT NULL,          -- 2^63-1: a single window
    threshold REAL NOT NULL,
    own TEXT NOT NULL,                  -- JSON list of addresses
    gateway TEXT,
    flows INTEGER NOT NULL,
    profiles INTEGER NOT NULL,
    windows INTEGER NOT NULL,
    complete INTEGER NOT NULL,
    UNIQUE (site, number)
);
CREATE TABLE sensor (
    run INTEGER NOT NULL,
    name TEXT NOT NULL,
    boot TEXT NOT NULL,
    online INTEGER,
    seen_wall_us INTEGER NOT NULL,
    version TEXT NOT NULL,
    reports INTEGER NOT NULL,
    ledger TEXT NOT NULL,               -- JSON object: counter, value
    PRIMARY KEY (run, name)
) WITHOUT ROWID;
CREATE TABLE profile (
    run INTEGER NOT NULL,
    addr TEXT NOT NULL,
    sort BLOB NOT NULL,                 -- 17 bytes that sort as the addresses do
    seen INTEGER NOT NULL DEFAULT 0,    -- 0: has evidence, and no traffic of its own
    first_us INTEGER NOT NULL DEFAULT 0,
    last_us INTEGER NOT NULL DEFAULT 0,
    mac TEXT,
    vendor TEXT,
    host_name TEXT,
    own INTEGER NOT NULL DEFAULT 0,
    gateway INTEGER NOT NULL DEFAULT 0,
    dns_server INTEGER NOT NULL DEFAULT 0,
    services TEXT NOT NULL DEFAULT '[]',
    agents TEXT NOT NULL DEFAULT '[]',
    threat REAL NOT NULL DEFAULT 0,     -- of its worst window
    malicious INTEGER,                  -- latest window with an alert
    blocked INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (run, addr)
) WITHOUT ROWID;
CREATE INDEX profile_by_threat ON profile (run, threat, addr);
CREATE INDEX profile_by_last ON profile (run, last_us, addr);
CREATE INDEX profile_by_addr ON profile (run, sort);
CREATE TABLE window (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL,
    addr TEXT NOT NULL,
    number INTEGER NOT NULL,
    start_us INTEGER NOT NULL,
    flows INTEGER,                      -- NULL: no traffic of its own
    packets INTEGER,
    bytes INTEGER,
    closed INTEGER NOT NULL DEFAULT 0,
    threat REAL NOT NULL DEFAULT 0,
    evidence INTEGER NOT NULL DEFAULT 0,
    malicious INTEGER NOT NULL DEFAULT 0,
    blocked INTEGER NOT NULL DEFAULT 0,
    UNIQUE (run, addr, number)
);
CREATE TABLE feature (
    window INTEGER PRIMARY KEY,         -- window.id
    fields TEXT NOT NULL                -- JSON object: field, content
);
CREATE TABLE timeline (
    window INTEGER NOT NULL,            -- window.id
    first INTEGER NOT NULL,             -- number of the first line in it
    lines TEXT NOT NULL,                -- JSON: [[start_us, uid, text], …]
    PRIMARY KEY (window, first)
);
CREATE TABLE evidence (
    run INTEGER NOT NULL,
    id INTEGER NOT NULL,
    kind TEXT NOT NULL,
    module TEXT NOT NULL,
    profile TEXT NOT NULL,
    window INTEGER NOT NULL,            -- number of the window
    window_start_us INTEGER NOT NULL,
    ts_us INTEGER NOT NULL,
    last_ts_us INTEGER NOT NULL,
    attacker TEXT NOT NULL,
    attacker_is_source INTEGER NOT NULL,
    victim TEXT,
    port INTEGER,
    proto INTEGER,
    level TEXT NOT NULL,
    confidence REAL NOT NULL,
    score REAL NOT NULL,                -- value of the level × confidence
    count INTEGER NOT NULL,
    flows TEXT NOT NULL,                -- JSON list of uids
    description TEXT NOT NULL,
    PRIMARY KEY (run, id)
);
CREATE INDEX evidence_by_profile ON evidence (run, profile, window, id);
CREATE INDEX evidence_by_kind ON evidence (run, kind, id);
CREATE INDEX evidence_by_score ON evidence (run, score, id);
CREATE TABLE alert (
    run INTEGER NOT NULL,
    id INTEGER NOT NULL,
    profile TEXT NOT NULL,
    window INTEGER NOT NULL,
    window_start_us INTEGER NOT NULL,
    ts_us INTEGER NOT NULL,
    accumulated REAL NOT NULL,
    threshold REAL NOT NULL,
    confidence REAL NOT NULL,
    evidence TEXT NOT NULL,             -- JSON list of ids
    description TEXT NOT NULL,
    blocked INTEGER NOT NULL,
    PRIMARY KEY (run, id)
);
CREATE INDEX alert_by_profile ON alert (run, profile, id);
CREATE TABLE name (
    run INTEGER NOT NULL,
    addr TEXT NOT NULL,
    name TEXT NOT NULL,
    how TEXT NOT NULL,                  -- dns, sni, http
    askers TEXT NOT NULL,               -- JSON list of addresses
    last_us INTEGER NOT NULL,
    PRIMARY KEY (run, addr, name)
) WITHOUT ROWID;
CREATE INDEX name_by_name ON name (run, name, addr);
CREATE TABLE info (
    subject TEXT NOT NULL,              -- address or name
    kind TEXT NOT NULL,
    value TEXT,                         -- NULL: asked for, and there is nothing
    source TEXT NOT NULL,
    learned_wall_us INTEGER NOT NULL,
    expires_wall_us INTEGER NOT NULL,
    PRIMARY KEY (subject, kind)
) WITHOUT ROWID;
CREATE TABLE block (
    run INTEGER NOT NULL,
    addr TEXT NOT NULL,
    since_us INTEGER NOT NULL,
    until_us INTEGER,
    why TEXT NOT NULL,
    alert INTEGER,
    lifted INTEGER NOT NULL,
    PRIMARY KEY (run, addr, since_us)
) WITHOUT ROWID;
CREATE TABLE command (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL,
    verb TEXT NOT NULL,
    subject TEXT NOT NULL,
    why TEXT NOT NULL,
    made_wall_us INTEGER NOT NULL,
    answer TEXT,
    done INTEGER NOT NULL DEFAULT 0,
    answered_wall_us INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX command_open ON command (run, id) WHERE answer IS NULL;
CREATE TABLE sample (
    run INTEGER NOT NULL,
    wall_us INTEGER NOT NULL,
    clock_us INTEGER NOT NULL,
    flows INTEGER NOT NULL,
    packets INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    evidence INTEGER NOT NULL,
    alerts INTEGER NOT NULL,
    cpu_s REAL NOT NULL,
    rss_bytes INTEGER NOT NULL,
    PRIMARY KEY (run, wall_us)
) WITHOUT ROWID;
CREATE TABLE loss (
    run INTEGER NOT NULL,
    reason TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (run, reason)
) WITHOUT ROWID;
-- For people with an SQL tool: one row for each line, and for each key of a feature table.
CREATE VIEW timeline_line AS
    SELECT run, addr, number AS window, first + key AS line,
           value ->> 0 AS ts_us, value ->> 1 AS uid, value ->> 2 AS text
    FROM window JOIN timeline ON timeline.window = window.id, json_each(timeline.lines);
CREATE VIEW feature_entry AS
    SELECT run, addr, number AS window, field.key AS field, entry.key AS key, entry.value AS content
    FROM window JOIN feature ON feature.window = window.id, json_each(feature.fields) AS field, json_each(field.value) AS entry;
