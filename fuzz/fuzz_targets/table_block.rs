//! See [`partita_fuzz::table_block`].
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| partita_fuzz::table_block(bytes));

#[cfg(not(fuzzing))]
fn main() -> std::io::Result<()> {
    partita_fuzz::replay_arguments(partita_fuzz::table_block)
}
