//! Under construction in this commit; see the following ones.
