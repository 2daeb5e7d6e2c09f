//! Log folder and exports.
