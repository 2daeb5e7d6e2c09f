//! Models that learn: what they are shown, how they are trained, how well they decide.
//!
//! Enters: labelled captures and model files. Leaves: models for the modules, and figures. Training and evaluation run only
//! when asked for (`slips train`, `slips evaluate`); detection uses [`gru`], [`markov`] and the like through the modules. A model
//! file is checked completely before it is used, so that a bad one costs its own module and nothing else.

pub mod alphabet;
pub mod data;
pub mod fit_forest;
pub mod flow_features;
pub mod follow;
pub mod forest;
pub mod gru;
pub mod markov;
pub mod metrics;
pub mod report;
#[cfg(feature = "train")]
pub mod train_gru;
