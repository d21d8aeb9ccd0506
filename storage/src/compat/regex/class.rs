//! Character classes: Perl's, POSIX', and Unicode's general categories and scripts.

use std::sync::LazyLock;

use regex_syntax::hir::{Class, ClassUnicode, ClassUnicodeRange, HirKind};

/// Adds the characters from `first` to `last`; surrogates, which no text holds, are
/// left out.
pub(super) fn push_range(class: &mut ClassUnicode, first: u32, last: u32) {
    for (low, high) in [(first, last.min(0xd7ff)), (first.max(0xe000), last)] {
        if let (Some(low), Some(high)) = (char::from_u32(low), char::from_u32(high))
            && low <= high
        {
            class.push(ClassUnicodeRange::new(low, high));
        }
    }
}

fn class_of(ranges: &[(char, char)]) -> ClassUnicode {
    ClassUnicode::new(
        ranges
            .iter()
            .map(|&(first, last)| ClassUnicodeRange::new(first, last)),
    )
}

/// Returns the class of `\d`, `\s`, `\w` or their negation by its letter. They are
/// ASCII, and `\s` has no vertical tab.
pub(super) fn perl(letter: char) -> Option<(ClassUnicode, bool)> {
    let ranges: &[(char, char)] = match letter.to_ascii_lowercase() {
        'd' => &[('0', '9')],
        's' => &[('\t', '\n'), ('\x0c', '\r'), (' ', ' ')],
        'w' => &[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')],
        _ => return None,
    };
    Some((class_of(ranges), letter.is_ascii_uppercase()))
}

/// Returns the class of `[:name:]`.
pub(super) fn posix(name: &str) -> Option<ClassUnicode> {
    let ranges: &[(char, char)] = match name {
        "alnum" => &[('0', '9'), ('A', 'Z'), ('a', 'z')],
        "alpha" => &[('A', 'Z'), ('a', 'z')],
        "ascii" => &[('\0', '\x7f')],
        "blank" => &[('\t', '\t'), (' ', ' ')],
        "cntrl" => &[('\0', '\x1f'), ('\x7f', '\x7f')],
        "digit" => &[('0', '9')],
        "graph" => &[('!', '~')],
        "lower" => &[('a', 'z')],
        "print" => &[(' ', '~')],
        "punct" => &[('!', '/'), (':', '@'), ('[', '`'), ('{', '~')],
        "space" => &[('\t', '\r'), (' ', ' ')],
        "upper" => &[('A', 'Z')],
        "word" => &[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')],
        "xdigit" => &[('0', '9'), ('A', 'F'), ('a', 'f')],
        _ => return None,
    };
    Some(class_of(ranges))
}

/// Returns the class of `\p{name}`: a general category by its short or long name, or
/// a script by its full name. Case, spaces, hyphens and underscores do not count.
pub(super) fn unicode(name: &str) -> Option<ClassUnicode> {
    let key: String = name
        .chars()
        .filter(|c| !matches!(c, ' ' | '-' | '_'))
        .map(|c| c.to_ascii_lowercase())
        .collect();
    if !key.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    match key.as_str() {
        "any" => return Some(class_of(&[('\0', char::MAX)])),
        "ascii" => return Some(class_of(&[('\0', '\x7f')])),
        // Surrogates are a category without a character of any text.
        "cs" | "surrogate" => return Some(ClassUnicode::empty()),
        _ => {}
    }
    let query = if key == "assigned" || CATEGORIES.contains(&key.as_str()) {
        format!(r"\p{{gc={key}}}")
    } else if SCRIPTS.contains(&key.as_str()) {
        format!(r"\p{{sc={key}}}")
    } else {
        return None;
    };
    table(&query)
}

fn table(query: &str) -> Option<ClassUnicode> {
    match regex_syntax::parse(query).ok()?.into_kind() {
        HirKind::Class(Class::Unicode(class)) => Some(class),
        // A class of one character is given as that character.
        HirKind::Literal(literal) => {
            let c = str::from_utf8(&literal.0).ok()?.chars().next()?;
            Some(class_of(&[(c, c)]))
        }
        _ => None,
    }
}

/// Tells whether Go counts a character as a letter or digit (`unicode.IsLetter`,
/// `unicode.IsDigit`).
pub(super) fn is_letter_or_digit(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_alphanumeric();
    }
    LETTERS_AND_DIGITS.as_ref().is_some_and(|class| {
        class
            .ranges()
            .binary_search_by(|range| {
                if range.end() < c {
                    std::cmp::Ordering::Less
                } else if range.start() > c {
                    std::cmp::Ordering::Greater
                } else {
                    std::cmp::Ordering::Equal
                }
            })
            .is_ok()
    })
}

static LETTERS_AND_DIGITS: LazyLock<Option<ClassUnicode>> = LazyLock::new(|| table(r"[\pL\p{Nd}]"));

/// General categories that Go knows, by short name and by long name.
const CATEGORIES: &[&str] = &[
    "c",
    "cc",
    "cf",
    "cn",
    "co",
    "l",
    "lc",
    "ll",
    "lm",
    "lo",
    "lt",
    "lu",
    "m",
    "mc",
    "me",
    "mn",
    "n",
    "nd",
    "nl",
    "no",
    "p",
    "pc",
    "pd",
    "pe",
    "pf",
    "pi",
    "po",
    "ps",
    "s",
    "sc",
    "sk",
    "sm",
    "so",
    "z",
    "zl",
    "zp",
    "zs",
    "other",
    "control",
    "cntrl",
    "format",
    "unassigned",
    "privateuse",
    "letter",
    "casedletter",
    "lowercaseletter",
    "modifierletter",
    "otherletter",
    "titlecaseletter",
    "uppercaseletter",
    "mark",
    "combiningmark",
    "spacingmark",
    "enclosingmark",
    "nonspacingmark",
    "number",
    "decimalnumber",
    "digit",
    "letternumber",
    "othernumber",
    "punctuation",
    "punct",
    "connectorpunctuation",
    "dashpunctuation",
    "closepunctuation",
    "finalpunctuation",
    "initialpunctuation",
    "otherpunctuation",
    "openpunctuation",
    "symbol",
    "currencysymbol",
    "modifiersymbol",
    "mathsymbol",
    "othersymbol",
    "separator",
    "lineseparator",
    "paragraphseparator",
    "spaceseparator",
];

/// Scripts by their full names, as Go keys them.
const SCRIPTS: &[&str] = &[
    "adlam",
    "ahom",
    "anatolianhieroglyphs",
    "arabic",
    "armenian",
    "avestan",
    "balinese",
    "bamum",
    "bassavah",
    "batak",
    "bengali",
    "bhaiksuki",
    "bopomofo",
    "brahmi",
    "braille",
    "buginese",
    "buhid",
    "canadianaboriginal",
    "carian",
    "caucasianalbanian",
    "chakma",
    "cham",
    "cherokee",
    "chorasmian",
    "common",
    "coptic",
    "cuneiform",
    "cypriot",
    "cyprominoan",
    "cyrillic",
    "deseret",
    "devanagari",
    "divesakuru",
    "dogra",
    "duployan",
    "egyptianhieroglyphs",
    "elbasan",
    "elymaic",
    "ethiopic",
    "garay",
    "georgian",
    "glagolitic",
    "gothic",
    "grantha",
    "greek",
    "gujarati",
    "gunjalagondi",
    "gurmukhi",
    "gurungkhema",
    "han",
    "hangul",
    "hanifirohingya",
    "hanunoo",
    "hatran",
    "hebrew",
    "hiragana",
    "imperialaramaic",
    "inherited",
    "inscriptionalpahlavi",
    "inscriptionalparthian",
    "javanese",
    "kaithi",
    "kannada",
    "katakana",
    "kawi",
    "kayahli",
    "kharoshthi",
    "khitansmallscript",
    "khmer",
    "khojki",
    "khudawadi",
    "kiratrai",
    "lao",
    "latin",
    "lepcha",
    "limbu",
    "lineara",
    "linearb",
    "lisu",
    "lycian",
    "lydian",
    "mahajani",
    "makasar",
    "malayalam",
    "mandaic",
    "manichaean",
    "marchen",
    "masaramgondi",
    "medefaidrin",
    "meeteimayek",
    "mendekikakui",
    "meroiticcursive",
    "meroitichieroglyphs",
    "miao",
    "modi",
    "mongolian",
    "mro",
    "multani",
    "myanmar",
    "nabataean",
    "nagmundari",
    "nandinagari",
    "newa",
    "newtailue",
    "nko",
    "nushu",
    "nyiakengpuachuehmong",
    "ogham",
    "olchiki",
    "oldhungarian",
    "olditalic",
    "oldnortharabian",
    "oldpermic",
    "oldpersian",
    "oldsogdian",
    "oldsoutharabian",
    "oldturkic",
    "olduyghur",
    "olonal",
    "oriya",
    "osage",
    "osmanya",
    "pahawhhmong",
    "palmyrene",
    "paucinhau",
    "phagspa",
    "phoenician",
    "psalterpahlavi",
    "rejang",
    "runic",
    "samaritan",
    "saurashtra",
    "sharada",
    "shavian",
    "siddham",
    "signwriting",
    "sinhala",
    "sogdian",
    "sorasompeng",
    "soyombo",
    "sundanese",
    "sunuwar",
    "sylotinagri",
    "syriac",
    "tagalog",
    "tagbanwa",
    "taile",
    "taitham",
    "taiviet",
    "takri",
    "tamil",
    "tangsa",
    "tangut",
    "telugu",
    "thaana",
    "thai",
    "tibetan",
    "tifinagh",
    "tirhuta",
    "todhri",
    "toto",
    "tulutigalari",
    "ugaritic",
    "vai",
    "vithkuqi",
    "wancho",
    "warangciti",
    "yezidi",
    "yi",
    "zanabazarsquare",
];
