//! Time-window arithmetic and the bounded feature record of one profile in one window.

/// Start of the window of width `width_us` that contains `t_us`: windows are aligned to UTC, so that agent and collector,
/// two sensors of a site and two runs agree without talking.
#[must_use]
pub const fn start_us(t_us: u64, width_us: u64) -> u64 {
    match t_us.checked_rem(width_us) {
        Some(rest) => t_us - rest,
        None => 0,
    }
}
