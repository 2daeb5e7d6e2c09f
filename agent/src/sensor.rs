//! The sensor: packet → flow + app → records, with one ledger for everything that passes or is lost.
