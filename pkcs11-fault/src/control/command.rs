//! What may be said on the control socket, and what it does.

use std::path::Path;

use serde::Deserialize;

use crate::{Code, Script, engine::Engine, script::Rule};

const HELP: &str = "\
script                 the script as it stands, as TOML
load PATH              replace the script by this file's, rules and all
set KEY=VALUE          change one limit, as in: set capacity=8, set pin={tries=3}
rule {NAME=VALUE,...}  add a rule, or replace the one of its name, as in:
                       rule {name=\"slow\", functions=[\"C_Sign\"], latency_ms=3.0}
drop NAME              drop a rule
clear                  drop all rules
release                let go on what hangs now
lose-sessions [TOKEN]  close sessions behind their owners' backs
remove [TOKEN]         take a token out of its slot; its sessions are lost
return [TOKEN]         put it back
poison [CODE]          answer this to every call until C_Finalize (CKR_DEVICE_ERROR)
cure                   end that
unlock                 forget the wrong PINs
stats                  the counters
reset                  set the counters to 0";

/// Does what a line says; gives the lines of the answer.
pub(super) fn run(engine: &Engine, line: &str) -> Result<Vec<String>, String> {
    let line = line.trim();
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    let rest = rest.trim();
    let optional = (!rest.is_empty()).then_some(rest);
    match word {
        "help" => return Ok(HELP.lines().map(str::to_owned).collect()),
        "script" => {
            let toml = engine.settings().script().to_toml();
            return Ok(toml.lines().map(str::to_owned).collect());
        }
        "load" => engine.load(Script::read(Path::new(rest)).map_err(|e| e.to_string())?),
        "set" => engine.set(set(&engine.settings().script(), rest)?),
        "rule" => engine.add_rule(rule(rest)?),
        "drop" => {
            if !engine.drop_rule(rest) {
                return Err(format!("no rule is named `{rest}`"));
            }
        }
        "clear" => engine.clear_rules(),
        "release" => engine.gate.release(),
        "lose-sessions" => engine.lose_sessions(optional),
        "remove" => engine.remove(optional),
        "return" => engine.tokens.put_back(optional),
        "poison" => {
            let name = optional.unwrap_or("CKR_DEVICE_ERROR");
            let code = Code::parse(name).ok_or_else(|| format!("no code is named `{name}`"))?;
            engine.set_poison(Some(code));
        }
        "cure" => engine.set_poison(None),
        "unlock" => engine.tokens.reset_pins(),
        "stats" => return Ok(engine.stats()),
        "reset" => engine.counters.reset(),
        _ => return Err(format!("`{word}` is unknown; `help` lists what is known")),
    }
    Ok(Vec::new())
}

/// The script with one limit changed.
fn set(script: &Script, assignment: &str) -> Result<Script, String> {
    // The new value stands in a table of its own, laid over the script's.
    let change: toml::Table = toml::from_str(assignment).map_err(|e| e.to_string())?;
    let mut table: toml::Table = toml::from_str(&script.to_toml()).map_err(|e| e.to_string())?;
    if let Some(fixed) = ["module", "socket", "rule"]
        .iter()
        .find(|&&key| change.contains_key(key))
    {
        return Err(format!("`{fixed}` can't be set"));
    }
    table.extend(change);
    let script: Script = table
        .try_into()
        .map_err(|e: toml::de::Error| e.to_string())?;
    script.check().map_err(|e| e.to_string())?;
    Ok(script)
}

fn rule(inline: &str) -> Result<Rule, String> {
    #[derive(Deserialize)]
    struct Line {
        rule: Rule,
    }
    let line: Line = toml::from_str(&format!("rule={inline}")).map_err(|e| e.to_string())?;
    line.rule.check().map_err(|e| e.to_string())?;
    Ok(line.rule)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_changed_and_the_rest_stays() {
        let script = Script {
            seed: 3,
            sessions: 5,
            ..Script::default()
        };
        let changed = set(&script, "capacity=8").unwrap();
        assert_eq!(
            (changed.seed, changed.sessions, changed.capacity),
            (3, 5, 8)
        );
        assert_eq!(set(&script, "pin={tries=3}").unwrap().pin.tries, 3);
        let changed = set(&script, "without=['CKM_ECDSA']").unwrap();
        assert_eq!(changed.without, ["CKM_ECDSA"]);
        for wrong in [
            "capacity=-1",
            "capacitty=1",
            "module='x'",
            "without=['CKM_NO']",
            "nonsense",
        ] {
            assert!(set(&script, wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_rule_fits_on_a_line() {
        let rule = rule(r#"{name="slow", functions=["C_Sign"], latency_ms={uniform=[1, 2]}}"#);
        assert_eq!(rule.unwrap().name, "slow");
        assert!(super::rule(r#"{name="slow", functions=["C_Sing"]}"#).is_err());
    }
}
