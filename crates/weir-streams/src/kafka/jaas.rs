//! Java's text for logging in: `Module flag option="value" ...;`.

/// One login module with its options.
#[derive(PartialEq, Eq)]
pub(super) struct Jaas {
    /// The last part of the module's class: packages differ between builds of Kafka's client.
    pub(super) module: String,
    options: Vec<(String, String)>,
}

impl Jaas {
    /// The value of an option; of one that is given twice the last, as Java has it.
    pub(super) fn option(&self, name: &str) -> Option<&str> {
        self.options.iter().rev().find(|(option, _)| option == name).map(|(_, value)| &**value)
    }

    /// Names and values of the options that begin with `prefix`, which is left away.
    pub(super) fn options<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.options.iter().filter_map(move |(name, value)| Some((name.strip_prefix(prefix)?, &**value)))
    }
}

/// What a text is made of.
#[derive(PartialEq, Eq)]
enum Token {
    /// A word, or what stands between quotes.
    Text(String),
    Equals,
    Semicolon,
}

/// Reads the text. The reason of an error holds nothing of it but names of modules, flags and options.
pub(super) fn parse(text: &str) -> Result<Jaas, String> {
    let mut tokens = tokens(text)?.into_iter().peekable();
    let form = "as in: org.apache.kafka.common.security.plain.PlainLoginModule required username=\"u\" password=\"p\";";
    let Some(Token::Text(module)) = tokens.next() else {
        return Err(format!("it names no login module, {form}"));
    };
    let module = module.rsplit(['.', '$']).next().unwrap_or_default().to_owned();
    match tokens.next() {
        Some(Token::Text(flag)) if is_flag(&flag) => {}
        _ => return Err(format!("behind the login module must stand required, {form}")),
    }
    let mut options: Vec<(String, String)> = vec![];
    loop {
        match tokens.next() {
            None => break,
            Some(Token::Semicolon) => match tokens.next() {
                None => break,
                Some(_) => return Err("it names several login modules: leave one".into()),
            },
            Some(Token::Text(name)) => {
                if tokens.next() != Some(Token::Equals) {
                    let place =
                        options.last().map_or_else(|| "the flag".to_owned(), |(name, _)| format!("option {name}"));
                    return Err(format!(
                        "behind {place} stands something that is no option name=\"value\": a value with a quote or a space \
                         in it is put in quotes, a quote inside is written \\\""
                    ));
                }
                let Some(Token::Text(value)) = tokens.next() else {
                    return Err(format!("option {name} has no value: write {name}=\"..\""));
                };
                options.push((name, value));
            }
            Some(Token::Equals) => return Err("an = stands where the name of an option should".into()),
        }
    }
    Ok(Jaas { module, options })
}

fn is_flag(text: &str) -> bool {
    ["required", "requisite", "sufficient", "optional"].iter().any(|flag| text.eq_ignore_ascii_case(flag))
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut found = vec![];
    let mut rest = text.chars().peekable();
    while let Some(next) = rest.next() {
        match next {
            ';' => found.push(Token::Semicolon),
            '=' => found.push(Token::Equals),
            '"' | '\'' => found.push(Token::Text(quoted(&mut rest, next)?)),
            '/' if rest.peek() == Some(&'/') => drop(rest.by_ref().find(|next| *next == '\n')),
            '/' if rest.peek() == Some(&'*') => {
                let mut last = ' ';
                rest.next();
                rest.by_ref().find(|next| std::mem::replace(&mut last, *next) == '*' && *next == '/');
            }
            next if next.is_whitespace() => {}
            next => {
                let mut word = String::from(next);
                // A padded base64 value ends in `=`: only the first one parts a name from its value.
                let value = found.last() == Some(&Token::Equals);
                while let Some(next) =
                    rest.next_if(|next| !next.is_whitespace() && *next != ';' && (value || *next != '='))
                {
                    word.push(next);
                }
                found.push(Token::Text(word));
            }
        }
    }
    Ok(found)
}

/// What stands before the closing quote; a backslash takes the next character as it is, or as Java's escape.
fn quoted(rest: &mut impl Iterator<Item = char>, quote: char) -> Result<String, String> {
    let mut value = String::new();
    while let Some(next) = rest.next() {
        match next {
            '\\' => match rest.next() {
                Some('n') => value.push('\n'),
                Some('r') => value.push('\r'),
                Some('t') => value.push('\t'),
                Some(other) => value.push(other),
                None => break,
            },
            next if next == quote => return Ok(value),
            next => value.push(next),
        }
    }
    Err(format!("a value is not closed: {quote} is missing at its end; a quote inside a value is written \\{quote}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, module: &str, options: &[(&str, &str)]) {
        let found = parse(text).unwrap_or_else(|reason| panic!("{text}: {reason}"));
        assert_eq!(found.module, module, "{text}");
        let of_found: Vec<(&str, &str)> = found.options("").collect();
        assert_eq!(of_found, options, "{text}");
    }

    #[test]
    fn quotes_spaces_and_packages_are_read_as_java_does() {
        let user = [("username", "u"), ("password", "p")];
        for text in [
            r#"org.apache.kafka.common.security.plain.PlainLoginModule required username="u" password="p";"#,
            r#"org.apache.pinot.shaded.org.apache.kafka.common.security.plain.PlainLoginModule required username="u" password="p";"#,
            "  PlainLoginModule\n  REQUIRED\n\tusername = 'u'\r\n password= \"p\" ;  \n",
            "PlainLoginModule required username=u password=p;",
            r#"PlainLoginModule required /* who */ username="u" // and how
               password="p""#,
            r#"PlainLoginModule sufficient username="u"password="p";"#,
        ] {
            check(text, "PlainLoginModule", &user);
        }
        let odd = r#"x.ScramLoginModule required username="a b=c;d" password='it"s \'\\ \u';"#;
        check(odd, "ScramLoginModule", &[("username", "a b=c;d"), ("password", r#"it"s '\ u"#)]);
        check("A$BLoginModule required key=YWJj==;", "BLoginModule", &[("key", "YWJj==")]);
    }

    #[test]
    fn what_is_wrong_is_said_without_values() {
        for (text, said) in [
            ("", "names no login module"),
            ("PlainLoginModule;", "must stand required"),
            ("hunter2 hunter2", "must stand required"),
            (r#"P required username="u" password="hunter2"#, "not closed"),
            (r#"P required username="u" password="hun"ter2";"#, "behind option password"),
            ("P required username=\"u\" hunter2;", "behind option username"),
            ("P required password=;", "option password has no value"),
            ("P required a=b; Q required;", "several login modules"),
        ] {
            let reason = parse(text).err().unwrap_or_else(|| panic!("{text} is refused"));
            assert!(reason.contains(said) && !reason.contains("hunter2"), "{text}: {reason}");
        }
    }
}
