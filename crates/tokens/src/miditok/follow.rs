//! x
/// x
pub struct Follow;
/// x
pub struct Limits;
