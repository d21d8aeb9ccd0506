//! Which fields of its data a template reads.
//!
//! Upstream source: `listNodeFields` of `pkg/logql/log/fmt.go` of Loki, with its gaps: fields
//! of variables and of values that are computed are not seen.

use super::Template;
use super::node::{Branch, Command, List, Node, Operand, OperandKind, Pipe};

impl Template {
    /// Returns the names of fields that the template reads, each once.
    pub(crate) fn fields(&self) -> Vec<&str> {
        let mut out = Vec::new();
        if let Some((_, list)) = self.lookup(&self.name) {
            of_list(list, &mut out);
        }
        let mut unique: Vec<&str> = Vec::with_capacity(out.len());
        for name in out {
            if !unique.contains(&name) {
                unique.push(name);
            }
        }
        unique
    }

    /// Returns texts and fields that the template prints, where it does nothing else.
    pub(crate) fn plain_parts(&self) -> Option<Vec<PlainPart<'_>>> {
        let (_, list) = self.lookup(&self.name)?;
        let parts = list.nodes.iter().map(|node| match node {
            Node::Text(text) => Some(PlainPart::Text(text)),
            Node::Action(pipe) => only_field(pipe).map(PlainPart::Field),
            _ => None,
        });
        parts.collect()
    }
}

/// What a template prints that computes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PlainPart<'t> {
    Text(&'t str),
    Field(&'t str),
}

fn only_field(pipe: &Pipe) -> Option<&str> {
    let ([command], []) = (pipe.commands.as_slice(), pipe.variables.as_slice()) else {
        return None;
    };
    match command.operands.as_slice() {
        [
            Operand {
                kind: OperandKind::Field(fields),
                ..
            },
        ] => match fields.as_slice() {
            [field] => Some(field),
            _ => None,
        },
        _ => None,
    }
}

fn of_list<'t>(list: &'t List, out: &mut Vec<&'t str>) {
    for node in &list.nodes {
        match node {
            Node::Action(pipe) => of_pipe(pipe, out),
            Node::If(branch) | Node::With(branch) | Node::Range(branch) => of_branch(branch, out),
            Node::Text(_) | Node::Call(_) | Node::Break | Node::Continue => {}
        }
    }
}

fn of_branch<'t>(branch: &'t Branch, out: &mut Vec<&'t str>) {
    of_pipe(&branch.pipe, out);
    of_list(&branch.list, out);
    if let Some(otherwise) = &branch.otherwise {
        of_list(otherwise, out);
    }
}

fn of_pipe<'t>(pipe: &'t Pipe, out: &mut Vec<&'t str>) {
    pipe.commands
        .iter()
        .for_each(|command| of_command(command, out));
}

fn of_command<'t>(command: &'t Command, out: &mut Vec<&'t str>) {
    for operand in &command.operands {
        match &operand.kind {
            OperandKind::Field(fields) => out.extend(fields.iter().map(String::as_str)),
            OperandKind::Pipe(pipe) => of_pipe(pipe, out),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::template::{Functions, Template};

    #[test]
    fn fields_are_found_in_all_branches() {
        let text = "{{.a}}{{if eq .b (lower .c)}}{{.d.e}}{{else}}{{range .f}}{{.a}}{{end}}{{end}}{{$x := 1}}";
        let template = Template::parse("line", text, Functions::LOGS).unwrap();
        assert_eq!(template.fields(), ["a", "b", "c", "d", "e", "f"]);
        assert_eq!(template.plain_parts(), None);
        let parts = |text| {
            let template = Template::parse("line", text, Functions::LOGS).unwrap();
            template.plain_parts().map(|parts| format!("{parts:?}"))
        };
        let plain = parts("{{ .msg }}: {{.a}}").unwrap();
        assert_eq!(plain, r#"[Field("msg"), Text(": "), Field("a")]"#);
        assert_eq!(parts("{{.a.b}}"), None);
        assert_eq!(parts("{{.a | lower}}"), None);
    }
}
