-- A journal of schema version 1 as its program left it: two cameras, a bank of one merged and two detailed entries,
-- a told scene, an alert and a picture. Frozen: it says what such files look like.
PRAGMA auto_vacuum = INCREMENTAL;
PRAGMA application_id = 1280724042;
PRAGMA journal_mode = WAL;
BEGIN;
CREATE TABLE cameras (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE vectors (id INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE entries (
    id INTEGER PRIMARY KEY, camera INTEGER NOT NULL REFERENCES cameras (id), start REAL NOT NULL, end REAL NOT NULL,
    frames INTEGER NOT NULL, energy REAL NOT NULL, scene INTEGER NOT NULL, pinned INTEGER NOT NULL,
    context INTEGER NOT NULL REFERENCES vectors (id), motion INTEGER NOT NULL REFERENCES vectors (id),
    pair_energy REAL NOT NULL, held INTEGER NOT NULL, cut INTEGER NOT NULL, merged INTEGER NOT NULL,
    banked INTEGER NOT NULL, written REAL NOT NULL
);
CREATE INDEX entries_time ON entries (camera, merged, start);
CREATE INDEX entries_bank ON entries (camera, start) WHERE banked;
CREATE INDEX entries_age ON entries (pinned, written);
CREATE INDEX entries_context ON entries (context);
CREATE INDEX entries_motion ON entries (motion);
CREATE TABLE embeddings (entry INTEGER PRIMARY KEY REFERENCES entries (id) ON DELETE CASCADE, data BLOB NOT NULL);
CREATE TABLE told (
    id INTEGER PRIMARY KEY, camera INTEGER NOT NULL REFERENCES cameras (id), start REAL NOT NULL, end REAL NOT NULL,
    caption TEXT NOT NULL, motion REAL NOT NULL, written REAL NOT NULL, UNIQUE (camera, start)
);
CREATE INDEX told_age ON told (written);
CREATE TABLE records (
    id INTEGER PRIMARY KEY, camera INTEGER NOT NULL REFERENCES cameras (id), kind TEXT NOT NULL, start REAL NOT NULL,
    end REAL NOT NULL, text TEXT NOT NULL, data TEXT NOT NULL, pinned INTEGER NOT NULL, written REAL NOT NULL
);
CREATE INDEX records_time ON records (camera, kind, start);
CREATE INDEX records_age ON records (pinned, written);
CREATE TABLE pictures (
    id INTEGER PRIMARY KEY, camera INTEGER NOT NULL REFERENCES cameras (id), seconds REAL NOT NULL,
    bytes INTEGER NOT NULL, written REAL NOT NULL, UNIQUE (camera, seconds)
);
CREATE INDEX pictures_age ON pictures (written);
INSERT INTO cameras VALUES (1, 'front'), (2, 'yard');
-- fp16: 003c = 1, 0040 = 2, 00c0 = -2, 0038 = 0.5
INSERT INTO vectors VALUES (1, x'003c0040'), (2, x'00c00038'), (3, x'00380038');
INSERT INTO entries VALUES
    (1, 1, 100.0, 101.0, 1, 0.25, 0, 0, 1, 2, 0.5, 0, 1, 0, 0, 1700000000.0),
    (2, 1, 101.0, 105.0, 4, 0.0, 0, 0, 1, 3, 0.125, 1, 0, 0, 0, 1700000004.0),
    (3, 1, 100.0, 105.0, 5, 0.25, 0, 0, 1, 2, 0.5, 0, 1, 1, 1, 1700000004.0),
    (4, 1, 105.0, 106.0, 1, 0.75, 1, 1, 2, 3, 0.75, 0, 1, 0, 1, 1700000005.0);
INSERT INTO embeddings VALUES (1, x'003c0000'), (2, x'0000003c'), (3, x'003c0000'), (4, x'003800c0');
INSERT INTO told VALUES (1, 1, 100.0, 105.0, 'a man at the door', 0.25, 1700000006.0);
INSERT INTO records VALUES (1, 2, 'alert', 50.0, 51.0, 'a fox', '{"rule": "animals"}', 1, 1700000001.0);
INSERT INTO pictures VALUES (1, 1, 105.5, 3, 1700000005.0);
PRAGMA user_version = 1;
COMMIT;
