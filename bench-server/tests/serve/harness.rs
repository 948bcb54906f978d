//! Servers as child processes, other programs as clients, certificates as files.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use socket2::{Domain, Socket, Type};
use tempfile::TempDir;

/// How long anything here may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// `bench-server` with these arguments.
pub(crate) fn bench_server<'a>(args: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bench-server"));
    command.args(args).stdin(Stdio::null());
    command
}

/// Runs another program to its end, with `input` on its standard input.
pub(crate) fn run(command: &mut Command, input: &[u8]) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?} cannot be run: {error}; is it installed?"));
    // Programs may end without reading all of it.
    let _ = child.stdin.take().unwrap().write_all(input);
    finish(child, &format!("{command:?}"))
}

/// Waits for a child's end, with patience.
fn finish(mut child: Child, what: &str) -> Output {
    let mut stdout = child.stdout.take().unwrap();
    let mut stderr = child.stderr.take().unwrap();
    let read = |source: &mut dyn std::io::Read| {
        let mut text = Vec::new();
        source.read_to_end(&mut text).unwrap();
        text
    };
    std::thread::scope(|scope| {
        let stdout = scope.spawn(move || read(&mut stdout));
        let stderr = scope.spawn(move || read(&mut stderr));
        let status = wait(&mut child, what);
        Output {
            status,
            stdout: stdout.join().unwrap(),
            stderr: stderr.join().unwrap(),
        }
    })
}

fn wait(child: &mut Child, what: &str) -> ExitStatus {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if begun.elapsed() > PATIENCE {
            let _ = child.kill();
            panic!("{what} does not end");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Asks again and again, with patience, until there is an answer.
pub(crate) fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(
            begun.elapsed() < PATIENCE,
            "{what}: not within {PATIENCE:?}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Measures again and again, with patience: a machine may be busy with something else at a
/// time, but not always.
pub(crate) fn at_last<T>(mut measure: impl FnMut() -> Result<T, String>) -> T {
    let begun = Instant::now();
    loop {
        match measure() {
            Ok(value) => return value,
            Err(error) => assert!(begun.elapsed() < PATIENCE, "{error}"),
        }
    }
}

/// A program that may start as if from a shell with this soft limit on file descriptors.
pub(crate) fn with_few_files(limit: u32, program: &Command) -> Command {
    let mut command = Command::new("sh");
    command
        .args(["-c", &format!("ulimit -Sn {limit} && exec \"$0\" \"$@\"")])
        .arg(program.get_program())
        .args(program.get_args())
        .stdin(Stdio::null());
    command
}

/// An address of the loopback interface that refuses connections until this is dropped: its
/// port is taken, and nobody listens.
pub(crate) struct Refusing {
    _socket: Socket,
    pub(crate) address: SocketAddr,
}

impl Refusing {
    pub(crate) fn new() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        socket.bind(&any.into()).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        Self {
            _socket: socket,
            address,
        }
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// `bench-server serve` on a free port.
pub(crate) struct Server {
    child: Child,
    stdout: BufReader<ChildStdout>,
    pub(crate) address: SocketAddr,
    /// What it printed at its start.
    pub(crate) start: String,
}

impl Server {
    pub(crate) fn start<'a>(args: impl IntoIterator<Item = &'a str>) -> Self {
        let mut command = bench_server(["serve", "--listen", "127.0.0.1:0"]);
        command.args(args);
        Self::spawn(command)
    }

    /// The same by a command that [`bench_server`] made.
    pub(crate) fn spawn(mut command: Command) -> Self {
        let echoes = command.get_args().any(|arg| arg == "--echo");
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut start = String::new();
        // The commands are the last lines, and openssl's is the first of them.
        while !start.contains("\n  openssl ") {
            let read = stdout.read_line(&mut start).unwrap();
            assert!(read > 0, "the server ended: {start:?}");
        }
        if !echoes {
            stdout.read_line(&mut start).unwrap();
        }
        let address = start
            .strip_prefix("listening on ")
            .and_then(|rest| rest.split([',', ' ']).next())
            .and_then(|address| address.parse().ok())
            .unwrap_or_else(|| panic!("no address in {start:?}"));
        Self {
            child,
            stdout,
            address,
            start,
        }
    }

    /// The file of the generated authority's certificate.
    pub(crate) fn ca(&self) -> &str {
        let line = self.line("its authority, until this ends: ");
        line.strip_prefix("its authority, until this ends: ")
            .unwrap()
    }

    /// The printed command that begins with `program`.
    pub(crate) fn command(&self, program: &str) -> &str {
        self.line(&format!("  {program} ")).trim_start()
    }

    fn line(&self, start: &str) -> &str {
        self.start
            .lines()
            .find(|line| line.starts_with(start))
            .unwrap_or_else(|| panic!("no line {start:?} in {:?}", self.start))
    }

    /// curl on a path, trusting the generated authority.
    pub(crate) fn curl<'a>(&self, path: &str, args: impl IntoIterator<Item = &'a str>) -> Output {
        let mut command = Command::new("curl");
        command.args(["-sS", "--max-time", "30"]);
        if self.start.contains("its authority") {
            command.args(["--cacert", self.ca()]);
        }
        command
            .args(args)
            .arg(format!("https://{}{path}", self.address));
        run(&mut command, b"")
    }

    /// The status as JSON, asked for by curl.
    pub(crate) fn status(&self) -> serde_json::Value {
        let output = self.curl("/status.json", []);
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", text(&output.stderr)))
    }

    /// `bench-server load` on this server, with the results as JSON.
    pub(crate) fn load<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> serde_json::Value {
        let output = run(
            bench_server(["load", "--json", "-", "--ca", self.ca()])
                .args(["--connect", &self.address.to_string()])
                .args(args),
            b"",
        );
        assert!(output.status.success(), "{}", text(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(status.unwrap().success());
    }

    /// Asks it to stop, and waits. Returns what it printed meanwhile.
    pub(crate) fn stop(self) -> String {
        self.signal("TERM");
        self.stopped()
    }

    /// The next line that it prints.
    pub(crate) fn next_line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line
    }

    /// Waits for its end. Returns what it printed since its start.
    pub(crate) fn stopped(mut self) -> String {
        let status = wait(&mut self.child, "the server");
        assert!(status.success(), "{status}");
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        rest
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Asked first: killed, it would leave its files behind.
        stop_or_kill(&mut self.child);
    }
}

/// Ends a child that may have ended by itself.
fn stop_or_kill(child: &mut Child) {
    if let Ok(None) = child.try_wait() {
        let pid = child.id().to_string();
        let _ = Command::new("kill").args(["-s", "TERM", &pid]).status();
        for _ in 0..1000 {
            if !matches!(child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// `openssl s_server` on a free port.
pub(crate) struct OpensslServer {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl OpensslServer {
    pub(crate) fn start<'a>(files: &Files, args: impl IntoIterator<Item = &'a str>) -> Self {
        let mut child = Command::new("openssl")
            .args(["s_server", "-tls1_3", "-accept", "127.0.0.1:0"])
            .arg("-cert")
            .arg(&files.cert)
            .arg("-key")
            .arg(&files.key)
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("openssl cannot be run; is it installed?");
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut printed = String::new();
        let address = loop {
            let read = stdout.read_line(&mut printed).unwrap();
            assert!(read > 0, "openssl does not listen: {printed}");
            let line = printed.lines().last().unwrap_or_default();
            if let Some(address) = line.strip_prefix("ACCEPT ") {
                break address.trim().parse().unwrap();
            }
        };
        // Read on, so that it is never held up.
        std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
        Self { child, address }
    }
}

impl Drop for OpensslServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `nginx` that answers every request with 200 and a line.
pub(crate) struct Nginx {
    child: Child,
    _directory: TempDir,
    pub(crate) address: SocketAddr,
}

impl Nginx {
    /// The program, where systems install it.
    pub(crate) fn program() -> Option<PathBuf> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        // Where servers are for those who are not root.
        let more = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
        let mut all = std::env::split_paths(&path).chain(more);
        all.find_map(|dir| Some(dir.join("nginx")).filter(|file| file.is_file()))
    }

    pub(crate) fn start(program: &Path, files: &Files) -> Self {
        // It inherits the socket, as a newer nginx does from an older one: the port is never
        // free in between.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let dir = directory.path().display();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|what| format!("  {what}_temp_path {dir}/{what};\n"))
            .concat();
        let (cert, key) = (files.cert.display(), files.key.display());
        let config = format!(
            "daemon off;\npid {dir}/pid;\nerror_log stderr;\nevents {{}}\n\
             http {{\n{temporary}  access_log off;\n  server {{\n    listen {address} ssl;\n    \
             ssl_certificate {cert};\n    ssl_certificate_key {key};\n    \
             ssl_protocols TLSv1.3;\n    return 200 \"hello\\n\";\n  }}\n}}\n"
        );
        let file = directory.path().join("nginx.conf");
        fs::write(&file, config).unwrap();
        let child = Command::new(program)
            .args(["-e", "stderr", "-p"])
            .arg(directory.path())
            .arg("-c")
            .arg(&file)
            .env("NGINX", "0;")
            .stdin(OwnedFd::from(listener))
            .spawn()
            .unwrap();
        Self {
            child,
            _directory: directory,
            address,
        }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Asked first: its worker has to end too.
        stop_or_kill(&mut self.child);
    }
}

/// A certificate under an authority of its own, as PEM files.
pub(crate) struct Files {
    _directory: TempDir,
    pub(crate) ca: PathBuf,
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

impl Files {
    /// For a server on the loopback interface.
    pub(crate) fn server() -> Self {
        Self::issue(ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// For a client.
    pub(crate) fn client() -> Self {
        Self::issue(ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn issue(purpose: ExtendedKeyUsagePurpose) -> Self {
        // Each of its own name: one is then told from another before any signature is.
        static AUTHORITIES: AtomicUsize = AtomicUsize::new(0);
        let number = AUTHORITIES.fetch_add(1, Ordering::Relaxed);
        let ca_key = KeyPair::generate().unwrap();
        let mut ca = CertificateParams::default();
        ca.distinguished_name
            .push(DnType::CommonName, format!("a test's authority {number}"));
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca_cert = ca.self_signed(&ca_key).unwrap();
        let key = KeyPair::generate().unwrap();
        let names = ["localhost", "127.0.0.1"].map(String::from);
        let mut leaf = CertificateParams::new(names).unwrap();
        leaf.extended_key_usages = vec![purpose];
        let issuer = rcgen::Issuer::from_params(&ca, &ca_key);
        let cert = leaf.signed_by(&key, &issuer).unwrap();

        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str, content: String| {
            let path = directory.path().join(name);
            fs::write(&path, content).unwrap();
            path
        };
        Self {
            ca: file("ca.pem", ca_cert.pem()),
            cert: file("cert.pem", cert.pem()),
            key: file("key.pem", key.serialize_pem()),
            _directory: directory,
        }
    }

    /// An RSA certificate for a server that stands for itself, made by openssl.
    pub(crate) fn rsa_server() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (cert, key) = (
            directory.path().join("cert.pem"),
            directory.path().join("key.pem"),
        );
        let output = run(
            Command::new("openssl")
                .args([
                    "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                ])
                .args(["-subj", "/CN=localhost"])
                .args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
                .args(["-addext", "basicConstraints=critical,CA:FALSE"])
                .arg("-out")
                .arg(&cert)
                .arg("-keyout")
                .arg(&key),
            b"",
        );
        assert!(output.status.success(), "{}", text(&output.stderr));
        Self {
            ca: cert.clone(),
            cert,
            key,
            _directory: directory,
        }
    }
}

/// A path as an argument.
pub(crate) fn arg(path: &Path) -> &str {
    path.to_str().unwrap()
}
