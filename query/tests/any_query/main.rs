//! Queries written at random, with times, durations and numbers at the ends of what
//! there is, end in an answer or an error.

mod check;
mod write;

use check::Case;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 4_000, ..ProptestConfig::default() })]

    #[test]
    fn written_queries_are_answered_or_refused(
        times in any::<u8>(),
        options in 128u8..,
        choices in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        let mut input = vec![times, options];
        input.extend(choices);
        let case = Case::read(&input).unwrap();
        let ran = std::panic::catch_unwind(|| case.run());
        prop_assert!(ran.is_ok(), "{case:?}");
    }
}

#[test]
fn the_seeds_of_the_fuzz_target_pass() {
    let seeds = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus/promql_eval");
    let mut n = 0;
    for seed in std::fs::read_dir(seeds).unwrap() {
        let path = seed.unwrap().path();
        if path.extension().is_some_and(|end| end == "seed") {
            Case::read(&std::fs::read(path).unwrap()).unwrap().run();
            n += 1;
        }
    }
    assert!(n > 0, "there are seeds in {seeds}");
}
