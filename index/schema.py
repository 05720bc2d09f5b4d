"""The tables of the catalogue, and how an older one is brought up to them."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from encoders.errors import Refused

_TOUCH = """
    INSERT INTO touched SELECT {content}, value FROM meta WHERE key = 'revision'
    ON CONFLICT (content) DO UPDATE SET revision = excluded.revision"""

MIGRATIONS = (
    f"""
    CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
    INSERT INTO meta VALUES ('revision', 0);
    INSERT INTO meta VALUES ('touched_after', 0);
    INSERT INTO meta VALUES ('identity', lower(hex(randomblob(16))));

    CREATE TABLE folders (
        id INTEGER PRIMARY KEY,
        path BLOB NOT NULL UNIQUE,
        volume TEXT NOT NULL,        -- which drive it lies on
        state TEXT NOT NULL,         -- online or offline
        emptied_at REAL              -- when it was first seen without any file, seconds since 1970
    );
    CREATE TABLE files (
        folder INTEGER NOT NULL REFERENCES folders (id) ON DELETE CASCADE,
        path BLOB NOT NULL,          -- below the folder
        size INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL,
        ctime_ns INTEGER NOT NULL,
        type TEXT,                   -- as the name tells; NULL where it does not
        subtype TEXT,
        content BLOB,                -- NULL: not read yet, or not to be read
        code TEXT,                   -- why it is left out, where that is the file's fault and not its content's
        text TEXT,
        PRIMARY KEY (folder, path)
    ) WITHOUT ROWID;
    CREATE INDEX files_by_content ON files (content);
    CREATE INDEX files_unread ON files (folder, path) WHERE content IS NULL AND code IS NULL;
    CREATE TABLE contents (
        content BLOB PRIMARY KEY,    -- 16 bytes of blake2b
        duration_s REAL NOT NULL,
        code TEXT,                   -- why it is left out
        text TEXT
    ) WITHOUT ROWID;

    CREATE TABLE models (id INTEGER PRIMARY KEY, digest TEXT NOT NULL UNIQUE);
    CREATE TABLE vectors (
        id INTEGER PRIMARY KEY,
        model INTEGER NOT NULL REFERENCES models (id),
        content BLOB NOT NULL,
        vector BLOB NOT NULL,        -- (D,) float32, little-endian
        UNIQUE (model, content)
    );
    CREATE TABLE guesses (
        model INTEGER NOT NULL REFERENCES models (id),
        content BLOB NOT NULL,
        type TEXT NOT NULL,          -- as the sound tells
        PRIMARY KEY (model, content)
    ) WITHOUT ROWID;

    CREATE TABLE marks (
        id INTEGER PRIMARY KEY,
        content BLOB NOT NULL,
        what TEXT NOT NULL,          -- used, like or dislike
        at REAL NOT NULL             -- seconds since 1970
    );
    CREATE INDEX marks_by_content ON marks (content);

    CREATE TABLE queries (           -- of recent presses: what approximate search is tuned on
        id INTEGER PRIMARY KEY,
        model INTEGER NOT NULL REFERENCES models (id),
        vector BLOB NOT NULL
    );

    CREATE TABLE touched (content BLOB PRIMARY KEY, revision INTEGER NOT NULL) WITHOUT ROWID;
    CREATE INDEX touched_by_revision ON touched (revision);
    CREATE TRIGGER file_in AFTER INSERT ON files WHEN new.content NOT NULL
        BEGIN {_TOUCH.format(content="new.content")}; END;
    CREATE TRIGGER file_out AFTER DELETE ON files WHEN old.content NOT NULL
        BEGIN {_TOUCH.format(content="old.content")}; END;
    CREATE TRIGGER file_changed_out AFTER UPDATE OF content, type, code ON files WHEN old.content NOT NULL
        BEGIN {_TOUCH.format(content="old.content")}; END;
    CREATE TRIGGER file_changed_in AFTER UPDATE OF content, type, code ON files WHEN new.content NOT NULL
        BEGIN {_TOUCH.format(content="new.content")}; END;
    CREATE TRIGGER vector_in AFTER INSERT ON vectors
        BEGIN {_TOUCH.format(content="new.content")}; END;
    CREATE TRIGGER guess_in AFTER INSERT ON guesses
        BEGIN {_TOUCH.format(content="new.content")}; END;
    CREATE TRIGGER guess_changed AFTER UPDATE ON guesses
        BEGIN {_TOUCH.format(content="new.content")}; END;
    CREATE TRIGGER folder_state AFTER UPDATE OF state ON folders WHEN old.state <> new.state
        BEGIN
            INSERT INTO touched SELECT DISTINCT content, (SELECT value FROM meta WHERE key = 'revision')
                FROM files WHERE folder = new.id AND content NOT NULL
                ON CONFLICT (content) DO UPDATE SET revision = excluded.revision;
        END;
    """,
    """
    ALTER TABLE folders ADD COLUMN portable INTEGER NOT NULL DEFAULT 0;  -- its keys are kept on its drive, too
    CREATE TABLE cleaned AS SELECT * FROM files WHERE 0;  -- what an emptied folder held before it was cleaned
    CREATE INDEX cleaned_by_folder ON cleaned (folder);
    CREATE TRIGGER folder_out AFTER DELETE ON folders BEGIN DELETE FROM cleaned WHERE folder = old.id; END;
    """,
    """
    ALTER TABLE marks ADD COLUMN beside BLOB NOT NULL DEFAULT x'';  -- contents that it was chosen from, one after another
    """,
)
"""Each brings a catalogue from version i to i + 1, in one transaction. Never edited once released."""


def version_of(db: sqlite3.Connection) -> int:
    """How many of the migrations a catalogue has seen."""
    return db.execute("PRAGMA user_version").fetchone()[0]


def migrate(db: sqlite3.Connection, path: Path) -> None:
    """Brings a catalogue up to this program.

    Raises:
        Refused: it is of a later version.
    """
    version = version_of(db)
    if version > len(MIGRATIONS):
        raise Refused(
            str(path),
            found=f"a catalogue of version {version}",
            expected=str(len(MIGRATIONS)),
            remedy="run the samplefit that wrote it, or start with another --state",
        )
    for number in range(version, len(MIGRATIONS)):
        db.executescript(
            f"BEGIN IMMEDIATE; {MIGRATIONS[number]}; PRAGMA user_version = {number + 1}; COMMIT;"
        )
