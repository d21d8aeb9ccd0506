use proptest::prelude::*;

use super::*;

fn check(value: f64, api_text: &str, f_text: &str, g_text: &str, e_text: &str) {
    assert_eq!(api(value), api_text, "api of {value:?}");
    assert_eq!(f(value), f_text, "f of {value:?}");
    assert_eq!(g(value), g_text, "g of {value:?}");
    assert_eq!(e(value), e_text, "e of {value:?}");
}

#[test]
fn the_four_shortest_forms_differ_as_in_go() {
    check(0.0, "0", "0", "0", "0e+00");
    check(-0.0, "-0", "-0", "-0", "-0e+00");
    check(1.0, "1", "1", "1", "1e+00");
    check(999_999.0, "999999", "999999", "999999", "9.99999e+05");
    check(1e6, "1000000", "1000000", "1e+06", "1e+06");
    check(0.0001, "0.0001", "0.0001", "0.0001", "1e-04");
    check(0.00001, "0.00001", "0.00001", "1e-05", "1e-05");
    check(1e-7, "1e-07", "0.0000001", "1e-07", "1e-07");
    check(1e21, "1e+21", "1000000000000000000000", "1e+21", "1e+21");
    check(
        1.5e20,
        "150000000000000000000",
        "150000000000000000000",
        "1.5e+20",
        "1.5e+20",
    );
    check(
        -1.25e-200,
        "-1.25e-200",
        &f(-1.25e-200),
        "-1.25e-200",
        "-1.25e-200",
    );
    check(f64::NAN, "NaN", "NaN", "NaN", "NaN");
    check(f64::INFINITY, "+Inf", "+Inf", "+Inf", "+Inf");
    check(f64::NEG_INFINITY, "-Inf", "-Inf", "-Inf", "-Inf");
    assert_eq!(f(f64::MAX).len(), 309);
}

#[test]
fn openmetrics_marks_whole_numbers() {
    for (value, text) in [
        (-0.0, "0.0"),
        (1.0, "1.0"),
        (-1.0, "-1.0"),
        (0.5, "0.5"),
        (100_000.0, "100000.0"),
        (1e6, "1e+06"),
        (f64::INFINITY, "+Inf"),
    ] {
        assert_eq!(openmetrics(value), text);
    }
    assert_eq!(exposition(-0.0), "0");
}

#[test]
fn fixed_precisions_round_the_exact_value() {
    let text = |push: &dyn Fn(&mut String)| collect(push);
    assert_eq!(text(&|out| push_f_precision(out, 2.5, 0)), "2");
    assert_eq!(text(&|out| push_f_precision(out, 1e-9, 6)), "0.000000");
    assert_eq!(
        text(&|out| push_e_precision(out, 99_999.95, 6)),
        "9.999995e+04"
    );
    assert_eq!(text(&|out| push_g_precision(out, 99_999.95, 4)), "1e+05");
    assert_eq!(
        text(&|out| push_g_precision(out, 0.1, 30)),
        "0.100000000000000005551115123126"
    );
    assert_eq!(text(&|out| push_g_precision(out, 1234.0, 4)), "1234");
    assert_eq!(text(&|out| push_g_precision(out, 0.0, 4)), "0");
}

#[test]
fn reading_knows_go_spellings() {
    assert_eq!(parse("0x1.8p1"), Ok(3.0));
    assert_eq!(parse("0x_1p0"), Ok(1.0));
    assert_eq!(parse("-0X1P-1074"), Ok(-f64::from_bits(1)));
    assert_eq!(parse("0x1p-1075"), Ok(0.0));
    assert_eq!(parse("0x1.8p-1075"), Ok(f64::from_bits(1)));
    assert_eq!(parse("0x1.fffffffffffff7p1023"), Ok(f64::MAX));
    assert_eq!(parse("0x1.00000000000008p0"), Ok(1.0));
    assert_eq!(parse("0x1.000000000000080001p0"), Ok(1.0 + f64::EPSILON));
    assert_eq!(parse("1_000.5"), Ok(1000.5));
    assert_eq!(parse("+Infinity"), Ok(f64::INFINITY));
    assert_eq!(parse("nAn").map(f64::to_bits), Ok(GO_NAN_BITS));
    for wrong in [
        "", ".", "e1", "1e", "1__0", "_1", "1_", "1_.5", "0x", "0x1", "0xp1", "+nan", "infin",
        "1f", "0b1", "١", "1e+_1", " 1",
    ] {
        let error = parse(wrong).unwrap_err();
        assert_eq!(error.reason, ParseFloatReason::Syntax, "{wrong:?}");
    }
    let error = parse("1e400").unwrap_err();
    assert_eq!(
        error.to_string(),
        "strconv.ParseFloat: parsing \"1e400\": value out of range"
    );
}

proptest! {
    #[test]
    fn every_shortest_form_reads_back(bits in any::<u64>()) {
        let value = f64::from_bits(bits);
        for text in [api(value), f(value), g(value), e(value), openmetrics(value)] {
            let back = parse(&text).unwrap();
            prop_assert!(back == value || (back.is_nan() && value.is_nan()), "{text}");
        }
    }

    #[test]
    fn whole_numbers_print_like_integers(value in -9_007_199_254_740_991i64..9_007_199_254_740_991) {
        prop_assert_eq!(api(value as f64), value.to_string());
        prop_assert_eq!(f(value as f64), value.to_string());
    }

    #[test]
    fn hexadecimal_floats_read_back(mantissa in 0u64..1 << 52, exponent in -1022i32..1024) {
        let text = format!("0x1.{mantissa:013x}p{exponent}");
        let expected = f64::from_bits(((exponent + 1023) as u64) << 52 | mantissa);
        prop_assert_eq!(parse(&text).unwrap(), expected);
    }

    #[test]
    fn reading_never_panics(text in ".{0,40}") {
        let _ = parse(&text);
    }
}
