//! A group of daemons, a process each: this program, started again.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use ledger::ids::NodeKey;
use ledger::testing::secret_value;
use replica::daemon::config::{Config, Given, Surroundings};
use replica::daemon::{fingerprint, serve};
use replica::local_api::bodies::{
    Base64, GroupBody, InitRequest, InviteRequest, KeyBody, NodeAddRequest, SignRequest,
};
use replica::local_api::client::{Asked, Client};
use replica::node::Supported;
use tokio::runtime::Runtime;

/// Set for a process that is to be a daemon: its data directory, socket and name, and perhaps the
/// file of its invitation, with a line for each.
const SERVE: &str = "LOCKSTEP_BENCH_SERVE";
/// After this a group that is not whole never will be.
const PATIENCE: Duration = Duration::from_secs(60);

/// Is a daemon, if this process was started as one: to be called first.
pub fn serve_if_told() -> Option<ExitCode> {
    let told = std::env::var(SERVE).ok()?;
    let mut lines = told.lines();
    let mut path = || lines.next().map(PathBuf::from);
    let (data_dir, socket) = (path(), path());
    let name = lines.next().map(str::to_owned);
    let join = lines.next().map(str::to_owned);
    let given = Given { data_dir, socket, name, join, ..Given::default() };
    let config = Config::resolve(given, Given::default(), &Surroundings::default()).unwrap();
    Some(match serve(config, Supported::THIS_VERSION) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    })
}

/// A running daemon. Killed when dropped.
pub struct Member {
    name: String,
    /// Its data directory.
    pub data: PathBuf,
    /// Its local API.
    pub client: Client,
    child: Option<Child>,
}

impl Member {
    fn new(dir: &Path, name: &str) -> Self {
        let data = dir.join(name);
        let client = Client::new(dir.join(format!("{name}.sock")));
        Member { name: name.to_owned(), data, client, child: None }
    }

    /// Starts it, and returns when it can serve.
    pub fn start(&mut self, invitation: Option<&Path>) {
        let lines = [
            self.data.display().to_string(),
            self.client.socket().display().to_string(),
            self.name.clone(),
            invitation.map(|path| format!("file:{}", path.display())).unwrap_or_default(),
        ];
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.data.with_extension("log"))
            .unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .env_clear()
            .env(SERVE, lines.join("\n").trim_end())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        assert!(line.contains("ready"), "{} did not start; see {:?}", self.name, self.data);
        // Nobody else reads it.
        thread::spawn(move || out.read_to_end(&mut Vec::new()));
        self.child = Some(child);
    }

    /// Kills it.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// The process, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Three daemons on loopback whose lock trusts the keys of all of them.
pub struct Group {
    /// All of them, in the order of their numbers.
    pub members: Vec<Member>,
}

impl Group {
    /// A new group below this directory.
    pub fn start(runtime: &Runtime, dir: &Path) -> Group {
        let mut members: Vec<Member> =
            ["alpha", "beta", "gamma"].map(|name| Member::new(dir, name)).into();
        members[0].start(None);
        let (first, others) = members.split_at_mut(1);
        for other in others {
            let request = InviteRequest {
                expires_ms: 4_000_000_000_000,
                named: Some(fingerprint(&other.data).unwrap().to_string()),
            };
            let asked = Asked::default();
            let invited = runtime.block_on(first[0].client.group_invite(&request, &asked));
            let token = invited.unwrap().value.token;
            let invitation = other.data.with_extension("invitation");
            fs::write(&invitation, token.expose()).unwrap();
            other.start(Some(&invitation));
        }
        let group = Group { members };
        group.whole(runtime);
        runtime.block_on(group.lock());
        group
    }

    async fn lock(&self) {
        let mut keys = Vec::new();
        for member in &self.members {
            let public = member.client.lock_status().await.unwrap().public_key;
            keys.push(KeyBody {
                kind: 1,
                votes: 1,
                public: Some(Base64(public.0.to_vec())),
                meta: None,
            });
        }
        let request = InitRequest {
            keys: Some(keys),
            disablement_values: Some(vec![Some(Base64(secret_value().to_vec()))]),
            ..InitRequest::default()
        };
        self.members[0].client.init(&request, &Asked::default()).await.unwrap();
    }

    /// Waits until everybody who runs sees three voters and a leader; the leader's place.
    pub fn whole(&self, runtime: &Runtime) -> usize {
        let since = Instant::now();
        loop {
            let sees = |member: &Member| {
                let body = runtime.block_on(member.client.group()).ok();
                body.and_then(|body| is_whole(&body))
            };
            let up = self.members.iter().filter(|member| member.child.is_some());
            let leaders: Vec<_> = up.map(sees).collect();
            if let Some(Some(leader)) = leaders.first()
                && leaders.iter().all(|other| *other == Some(*leader))
            {
                return *leader;
            }
            assert!(since.elapsed() < PATIENCE, "the group is not whole");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

fn is_whole(body: &GroupBody) -> Option<usize> {
    let voters = body.members.iter().filter(|member| member.role == "voter").count();
    let leader = body.leader.as_ref()?.parse::<usize>().ok()?;
    (voters == 3).then(|| leader.checked_sub(1)).flatten()
}

/// A node key of that number.
pub fn node_key(number: u64) -> NodeKey {
    let mut key = [0x5a; 32];
    key[..8].copy_from_slice(&number.to_be_bytes());
    NodeKey(key)
}

/// The node of that number joins the roster, without a signature.
pub async fn add_node(client: &Client, number: u64) {
    let request = NodeAddRequest {
        name: format!("n{number}"),
        node_key: node_key(number).to_string(),
        lock_key: None,
        auth_key: None,
        signature: None,
    };
    client.node_add(&request, &Asked::default()).await.unwrap();
}

/// The node of that number is let in.
pub async fn sign_node(client: &Client, number: u64) {
    let request = SignRequest { node_key: node_key(number), rotation_public: None };
    client.sign(&request, &Asked::default()).await.unwrap();
}
