"""The everyday commands, as `make COMMAND` calls them: the same steps on the stage and, with TARGET=aws, in an account.

    setup ─► deploy-primary ─► deploy-secondary ─► check-health ─► simulate-outage ─► test-failover ─► destroy

Settings come by environment. Each step deploys templates of infra/ in the order in which they need each other; the two targets differ in how a
template is deployed and in what a machine is too small for, and in nothing else. In an account nothing is made, broken or taken away before a
person has read what, and said yes.
"""

import dataclasses
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET_FOLDER = pathlib.Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")
# What one step leaves for the next: how to reach the stage, and what the stacks gave.
KEPT = pathlib.Path(os.environ.get("EVERYDAY_FOLDER") or TARGET_FOLDER / "everyday")
EXAMPLE = "infra/examples/pilot-light"
HEALTH_REGION = "us-east-1"
REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-[0-9]")
DOMAIN = re.compile(r"([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}")
NAME = re.compile(r"[a-z][a-z0-9-]{0,19}")


class Refused(Exception):
    """Why a command does not begin, or does not go on: a sentence with its remedy."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """What the commands are told by environment."""

    primary: str
    secondary: str
    domain: str
    rto: int
    rpo: int
    name: str
    target: str
    environment: dict

    @staticmethod
    def read(environment):
        """All settings, or every mistake in them at once."""
        mistakes = []

        def required(name, pattern, what, example):
            value = environment.get(name, "")
            if not value:
                mistakes.append(f"{name} is not set: {what}, for example `export {name}={example}`")
            elif not pattern.fullmatch(value):
                mistakes.append(f"{name} is `{value}`: it must be {what}, such as {example}")
            return value

        def minutes(name, usual):
            value = environment.get(name) or str(usual)
            if not re.fullmatch(r"[1-9][0-9]{0,3}", value):
                mistakes.append(f"{name} is `{value}`: it must be whole minutes from 1 to 9999, such as {usual}")
                return usual
            return int(value)

        primary = required("PRIMARY_REGION", REGION, "the Region that serves in peace", "us-east-2")
        secondary = required("SECONDARY_REGION", REGION, "the Region that takes over", "us-west-2")
        domain = required("DOMAIN_NAME", DOMAIN, "the domain below which users' name is made", "shop.example")
        if primary and primary == secondary:
            mistakes.append(f"PRIMARY_REGION and SECONDARY_REGION are both {primary}: the one must take over when the other fails")
        name, target = environment.get("PLAN_NAME") or "shop", environment.get("TARGET") or "stage"
        if not NAME.fullmatch(name):
            mistakes.append(f"PLAN_NAME is `{name}`: it must be 1 to 20 lower-case letters, digits and hyphens, a letter first")
        if target not in ("stage", "aws"):
            mistakes.append(f"TARGET is `{target}`: it must be stage, which needs no account, or aws")
        settings = Settings(primary, secondary, domain, minutes("RTO_MINUTES", 15), minutes("RPO_MINUTES", 5), name, target, dict(environment))
        if target == "aws":
            for needed, what in AWS_NEEDS.items():
                if not environment.get(needed):
                    mistakes.append(f"{needed} is not set: {what}")
        if mistakes:
            raise Refused("\n".join(mistakes))
        return settings


AWS_NEEDS = {
    "IMAGE": "the application's image, in a registry that both Regions reach",
    "PRIMARY_CERTIFICATE": "ARN of an ACM certificate in PRIMARY_REGION for www.DOMAIN_NAME and primary.DOMAIN_NAME",
    "SECONDARY_CERTIFICATE": "ARN of an ACM certificate in SECONDARY_REGION for www.DOMAIN_NAME and standby.DOMAIN_NAME",
    "NOTIFICATION_EMAIL": "who is told by e-mail",
    "DATABASE_CA_LAYER": "ARN of a layer in SECONDARY_REGION with the CA of RDS, see docs/deploy.md",
}


def say(text=""):
    print(text, flush=True)


def run(command, environment, quiet=True):
    """A command's output, or a refusal with what it said."""
    done = subprocess.run(command, env=environment, cwd=ROOT, text=True, capture_output=quiet, stdin=subprocess.DEVNULL if quiet else None)
    if done.returncode:
        said = (done.stderr or done.stdout or "").strip() if quiet else "see above"
        raise Refused(f"`{' '.join(map(str, command[:4]))} ...` failed: {said}")
    return done.stdout


class Stage:
    """A stage of its own, which `setup` leaves standing and `destroy` ends."""

    # Small, as each task and each instance is a process here.
    IN_PRIMARY = dict(Tasks=3, MinTasks=3, MaxTasks=6, Workers=1, MinWorkers=1, MaxWorkers=2, OnDemandBase=1, OnDemandPercentage=100)
    IN_SECONDARY = dict(Tasks=1, MinTasks=1, MaxTasks=2, Workers=1, MinWorkers=1, MaxWorkers=2, OnDemandBase=0, OnDemandPercentage=0)
    # What one machine has not.
    NETWORK = dict(Protocol="HTTP", Protect="no")
    DATABASE = dict(MultiAz="false", Tls="false", Protect="no")
    REPLICA = dict(Tls="false", Protect="no")
    GLOBAL = dict(Protocol="HTTP")
    CONTROL = dict(Architecture="x86_64", ProtectTable="no")
    PATIENCE = 60

    def __init__(self, settings):
        self.settings = settings
        self.file = KEPT / "standing.json"
        self.binary = TARGET_FOLDER / "debug" / "stage"
        self.awscli = [os.environ.get("RELIGHT_VENV", str(ROOT / "target" / "venv")) + "/bin/aws"]

    def application(self, region):
        sizes = self.IN_PRIMARY if region == self.settings.primary else self.IN_SECONDARY
        return dict(sizes, Image="shop")

    def network(self, _region):
        return self.NETWORK

    def ask(self, _what, _rows):
        """Nothing outside this machine is touched."""

    def up(self):
        try:
            up = json.loads(self.file.read_text())
            os.kill(up["pid"], 0)
            return up
        except (OSError, ValueError):
            raise Refused("no stage stands; `make setup` starts one") from None

    def setup(self):
        try:
            up = self.up()
            raise Refused(f"a stage stands already (process {up['pid']}); `make destroy` ends it")
        except Refused as refused:
            if "already" in str(refused):
                raise
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.unlink(missing_ok=True)
        log = self.file.with_suffix(".log")
        settings = self.settings
        command = [self.binary, "everyday", "--file", self.file, "--name", settings.name, "--domain", settings.domain, "--primary", settings.primary,
                   "--standby", settings.secondary, "--rto-minutes", str(settings.rto), "--rpo-minutes", str(settings.rpo)]
        with log.open("w") as output:
            child = subprocess.Popen(command, stdout=output, stderr=output, stdin=subprocess.DEVNULL, start_new_session=True, cwd=ROOT)
        while not self.file.exists():
            if child.poll() is not None:
                raise Refused(f"the stage did not come up: {log.read_text().strip()}")
            time.sleep(0.2)
        say(f"An empty account with {settings.primary}, {settings.secondary} and {HEALTH_REGION} stands on this machine (process {child.pid}).")

    def tell(self, order):
        host, port = self.up()["address"].rsplit(":", 1)
        try:
            with socket.create_connection((host, int(port))) as connection:
                connection.sendall(json.dumps(order).encode() + b"\n")
                answer = json.loads(connection.makefile().readline() or "{}")
        except (OSError, ValueError) as error:
            raise Refused(f"the stage does not answer ({error}); its log is {self.file.with_suffix('.log')}") from None
        if "error" in answer:
            raise Refused(answer["error"])
        return answer

    def deploy(self, region, stack, template, parameters):
        parameters = {name: str(value) for name, value in parameters.items()}
        return self.tell({"do": "deploy", "stack": stack, "region": region, "template": template, "parameters": parameters})["outputs"]

    def environment(self):
        return {**os.environ, **self.up()["environment"]}

    def plan(self, _outputs):
        return self.tell({"do": "plan"})["plan"]

    def health(self):
        return self.tell({"do": "health"})

    def outage(self, _outputs):
        self.tell({"do": "outage"})
        say(f"{self.settings.primary} is a black hole: its database is killed, its endpoints accept and answer nothing.")

    def destroy(self, _stacks):
        pid = self.up()["pid"]
        os.kill(pid, signal.SIGTERM)
        for _ in range(150):
            try:
                os.kill(pid, 0)
            except OSError:
                break
            time.sleep(0.2)
        self.file.unlink(missing_ok=True)
        say("The stage is ended, with all that stood in it.")


class Account:
    """An AWS account, by its own command line."""

    DATABASE = REPLICA = GLOBAL = {}
    PATIENCE = 1800

    def __init__(self, settings):
        self.settings = settings
        self.awscli = ["aws"]
        told = settings.environment
        self.CONTROL = dict(NotificationEmail=told["NOTIFICATION_EMAIL"], DatabaseCaLayerArn=told["DATABASE_CA_LAYER"])
        if told.get("HOSTED_ZONE_ID"):
            self.GLOBAL = dict(HostedZoneId=told["HOSTED_ZONE_ID"])

    def application(self, region):
        small = dict(Tasks=1, MinTasks=1, MaxTasks=2, Workers=1, MinWorkers=1, MaxWorkers=2, OnDemandBase=0, OnDemandPercentage=0)
        return dict({} if region == self.settings.primary else small, Image=self.settings.environment["IMAGE"])

    def network(self, region):
        return dict(CertificateArn=self.settings.environment["PRIMARY_CERTIFICATE" if region == self.settings.primary else "SECONDARY_CERTIFICATE"])

    def ask(self, what, rows):
        say(what)
        for row in rows:
            say(f"  {row}")
        if input("Go on? Type yes: ").strip() != "yes":
            raise Refused("nothing was done")

    def environment(self):
        return {**os.environ, "AWS_REGION": self.settings.secondary, "AWS_DEFAULT_REGION": self.settings.secondary, "AWS_PAGER": ""}

    def setup(self):
        for tool, remedy in (("aws", "install the AWS CLI"), ("sam", "install the SAM CLI"), ("cargo", "install Rust"), ("cargo-lambda", "install cargo-lambda")):
            if not shutil.which(tool):
                raise Refused(f"{tool} is not on the PATH; {remedy}")
        identity = json.loads(run(["aws", "sts", "get-caller-identity", "--output", "json"], self.environment()))
        say(f"Account {identity['Account']}, as {identity['Arn']}. Nothing was made.")
        run(["sam", "build", "-t", "infra/control/template.yaml"], self.environment(), quiet=False)

    def deploy(self, region, stack, template, parameters):
        words = [f"{name}={value}" for name, value in parameters.items()]
        common = ["--region", region, "--stack-name", stack, "--capabilities", "CAPABILITY_IAM"]
        if template.startswith("infra/control/"):
            run(["sam", "deploy", *common, "--resolve-s3", "--no-confirm-changeset", "--no-fail-on-empty-changeset", "--parameter-overrides", *words],
                self.environment(), quiet=False)
        else:
            run(["aws", "cloudformation", "deploy", *common, "--template-file", template, "--no-fail-on-empty-changeset", "--parameter-overrides", *words],
                self.environment(), quiet=False)
        return self.outputs(region, stack)

    def outputs(self, region, stack):
        query = ["--query", "Stacks[0].Outputs", "--output", "json"]
        found = json.loads(run(["aws", "cloudformation", "describe-stacks", "--region", region, "--stack-name", stack, *query], self.environment()))
        return {output["OutputKey"]: output["OutputValue"] for output in found or []}

    def plan(self, outputs):
        settings = self.settings
        account = json.loads(run(["aws", "sts", "get-caller-identity", "--output", "json"], self.environment()))["Account"]
        text = (ROOT / EXAMPLE / "relight.toml").read_text()
        for old, new in (
            ("arn:aws:cloudwatch:us-east-1:123456789012:alarm:shop-primary-health", outputs["global"]["AlarmArn"]),
            ("3f1b9c4e-5a52-4d8e-9a41-0c0f6a1b2c3d", outputs["global"]["HealthCheckId"]),
            ("sg-0a1b2c3d4e5f60718", outputs["primary-network"]["QuarantineGroupId"]),
            ("123456789012", account),
            ("us-east-2", settings.primary),
            ("us-west-2", settings.secondary),
            ("shop.example", settings.domain),
            ('"15m"', f'"{settings.rto}m"'),
            ('"5m"', f'"{settings.rpo}m"'),
        ):
            if old not in text:
                raise Refused(f"{EXAMPLE}/relight.toml no longer holds `{old}`; write the plan by hand and put it with `relight plan put`")
            text = text.replace(old, new)
        return re.sub(r"\bshop\b(?!\.)", settings.name, text)

    def health(self):
        def answers(host):
            try:
                with urllib.request.urlopen(f"https://{host}.{self.settings.domain}/health", timeout=5) as page:
                    return page.status == 200
            except (urllib.error.URLError, OSError):
                return False

        def addresses(host):
            try:
                return {row[4][0] for row in socket.getaddrinfo(f"{host}.{self.settings.domain}", 443)}
            except OSError:
                return set()

        users = addresses("www")
        where = next((place for place in ("primary", "standby") if users & addresses(place)), "nobody")
        return dict(primary=answers("primary"), standby=answers("standby"), checkers=None, users=where, replica_lag=None)

    def outage(self, outputs):
        settings, name = self.settings, self.settings.name
        self.ask("This takes the application in the primary Region down, so that Relight fails over; users are without service until it has:",
                 [f"ECS service {name}/web and group {name}-workers in {settings.primary}: to none", f"end it with `make deploy-primary` and the way home of docs/runbook.md"])
        aws = ["aws", "--region", settings.primary]
        run([*aws, "application-autoscaling", "register-scalable-target", "--service-namespace", "ecs", "--scalable-dimension", "ecs:service:DesiredCount",
             "--resource-id", f"service/{name}/web", "--min-capacity", "0"], self.environment())
        run([*aws, "ecs", "update-service", "--cluster", name, "--service", "web", "--desired-count", "0"], self.environment())
        run([*aws, "autoscaling", "update-auto-scaling-group", "--auto-scaling-group-name", f"{name}-workers", "--min-size", "0", "--desired-capacity", "0"],
            self.environment())

    def destroy(self, stacks):
        self.ask("This deletes, with the databases and what is in them; what a template retains (reports, journal, last snapshots) stays:",
                 [f"{stack} in {region}" for region, stack, *_ in stacks])
        for region, stack, *_ in stacks:
            say(f"  {stack} in {region}")
            run(["aws", "cloudformation", "delete-stack", "--region", region, "--stack-name", stack], self.environment())
            run(["aws", "cloudformation", "wait", "stack-delete-complete", "--region", region, "--stack-name", stack], self.environment())


class Everyday:
    """The commands."""

    def __init__(self, settings):
        self.settings = settings
        self.target = (Account if settings.target == "aws" else Stage)(settings)
        self.kept = KEPT / f"stacks-{settings.target}.json"

    # What one step's stacks gave to the next, which may be another invocation.
    def outputs(self):
        try:
            return json.loads(self.kept.read_text())
        except (OSError, ValueError):
            return {}

    def keep(self, **outputs):
        self.kept.parent.mkdir(parents=True, exist_ok=True)
        self.kept.write_text(json.dumps({**self.outputs(), **outputs}, indent=2))

    def need(self, key, step):
        try:
            return self.outputs()[key]
        except KeyError:
            raise Refused(f"the step before is missing: `make {step}`") from None

    def stacks(self):
        """Region, name and template of each, in the order in which they are made."""
        name, primary, secondary = self.settings.name, self.settings.primary, self.settings.secondary
        return [
            (primary, f"{name}-network", f"{EXAMPLE}/network.yaml"),
            (primary, f"{name}-primary", f"{EXAMPLE}/primary.yaml"),
            (primary, f"{name}-application", f"{EXAMPLE}/application.yaml"),
            (primary, f"{name}-alarms", "infra/primary/template.yaml"),
            (secondary, f"{name}-network", f"{EXAMPLE}/network.yaml"),
            (secondary, f"{name}-standby", f"{EXAMPLE}/standby.yaml"),
            (secondary, f"{name}-application", f"{EXAMPLE}/application.yaml"),
            (HEALTH_REGION, f"{name}-global", "infra/global/template.yaml"),
            (secondary, f"{name}-relight", "infra/control/template.yaml"),
        ]

    def deploy(self, region, stack, template, **parameters):
        began = time.monotonic()
        outputs = self.target.deploy(region, f"{self.settings.name}-{stack}", template, parameters)
        say(f"  {self.settings.name}-{stack} in {region}: {len(outputs)} outputs, {time.monotonic() - began:.1f} s")
        return outputs

    def setup(self):
        self.kept.unlink(missing_ok=True)
        self.target.setup()

    def deploy_primary(self):
        settings, target = self.settings, self.target
        self.target.ask("This is made:", [f"{stack} in {region}, from {template}" for region, stack, template in self.stacks()[:4]])
        say(f"The workload in {settings.primary}, which serves in peace:")
        network = self.deploy(settings.primary, "network", f"{EXAMPLE}/network.yaml", Name=settings.name, Network="10.20", **target.network(settings.primary))
        database = self.deploy(settings.primary, "primary", f"{EXAMPLE}/primary.yaml", Name=settings.name, StandbyRegion=settings.secondary, **target.DATABASE)
        self.deploy(settings.primary, "application", f"{EXAMPLE}/application.yaml", Name=settings.name, CapacityProvider="FARGATE",
                    **target.application(settings.primary))
        alarms = self.deploy(settings.primary, "alarms", "infra/primary/template.yaml", PlanName=settings.name, StandbyRegion=settings.secondary,
                             LoadBalancer=network["LoadBalancerName"], TargetGroup=network["TargetGroupName"], Cluster=settings.name, Service="web",
                             Group=f"{settings.name}-workers", Database=database["DatabaseId"])
        self.keep(**{"primary-network": network, "primary": database, "alarms": alarms})

    def deploy_secondary(self):
        settings, target = self.settings, self.target
        network, database, alarms = (self.need(key, "deploy-primary") for key in ("primary-network", "primary", "alarms"))
        self.target.ask("This is made:", [f"{stack} in {region}, from {template}" for region, stack, template in self.stacks()[4:]])
        say(f"Its pilot light in {settings.secondary}, the names in {HEALTH_REGION}, and Relight beside the pilot light:")
        second = self.deploy(settings.secondary, "network", f"{EXAMPLE}/network.yaml", Name=settings.name, Network="10.30", **target.network(settings.secondary))
        self.deploy(settings.secondary, "standby", f"{EXAMPLE}/standby.yaml", Name=settings.name, PrimaryRegion=settings.primary,
                    SourceDatabaseArn=database["DatabaseArn"], **target.REPLICA)
        application = self.deploy(settings.secondary, "application", f"{EXAMPLE}/application.yaml", Name=settings.name, CapacityProvider="FARGATE_SPOT",
                    **target.application(settings.secondary))
        names = dict(PlanName=settings.name, StandbyRegion=settings.secondary, DomainName=settings.domain, PrimaryHost=network["LoadBalancerDns"],
                     StandbyHost=second["LoadBalancerDns"], **target.GLOBAL)
        # An alarm that is made before it has seen the primary up begins with ALARM.
        self.deploy(HEALTH_REGION, "global", "infra/global/template.yaml", PrimaryServes="no", **names)
        self.wait("the primary healthy", lambda health: health["primary"] and health["checkers"] is not False)
        names = self.deploy(HEALTH_REGION, "global", "infra/global/template.yaml", PrimaryServes="yes", **names)
        inside = {} if settings.target == "stage" else dict(
            SubnetIds=second["PrivateSubnets"], SecurityGroupIds=second["FunctionsGroupId"], InstanceRoleArns=application["WorkerRoleArn"])
        draft = self.draft({"global": names, "primary-network": network})
        control = self.deploy(settings.secondary, "relight", "infra/control/template.yaml", **self.parameters(draft), HealthTopicArn=names["TopicArn"],
                              AlarmTopicArn=alarms["AlarmTopicArn"], **target.CONTROL, **inside)
        self.keep(**{"secondary-network": second, "global": names, "relight": control})
        plan = KEPT / "relight.toml"
        plan.write_text(self.target.plan(self.outputs()))
        say(f"  {run([*self.relight(), 'plan', 'put', str(plan), '--table', control['JournalTable']], target.environment()).strip()}")
        self.wait("the observers saying Up", lambda _: len(self.up()) >= 2)
        say(f"  Relight watches: {', '.join(self.up())} say Up")

    def draft(self, outputs):
        """The plan as far as the control stack's permissions need it: names, before the stack is there that the rest comes from."""
        text = (ROOT / EXAMPLE / "relight.toml").read_text()
        network = outputs["primary-network"]
        account = network["QuarantineGroupArn"].split(":")[4] if "QuarantineGroupArn" in network else self.account()
        for old, new in (("123456789012", account), ("us-east-2", self.settings.primary), ("us-west-2", self.settings.secondary),
                         ("sg-0a1b2c3d4e5f60718", network["QuarantineGroupId"])):
            text = text.replace(old, new)
        draft = KEPT / "draft.toml"
        draft.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(re.sub(r"\bshop\b(?!\.)", self.settings.name, text))
        return draft

    def account(self):
        return json.loads(run([*self.target.awscli, "sts", "get-caller-identity", "--output", "json"], self.target.environment()))["Account"]

    def parameters(self, plan):
        """The control stack's, made from the plan."""
        rows = json.loads(run([*self.relight(), "stack", "parameters", str(plan), "--format", "json"], self.target.environment()))
        return {row["ParameterKey"]: row["ParameterValue"] for row in rows}

    def relight(self):
        return [str(TARGET_FOLDER / "debug" / "relight")]

    def wait(self, what, seen):
        deadline = time.monotonic() + self.target.PATIENCE
        while not seen(health := self.target.health()):
            if time.monotonic() > deadline:
                raise Refused(f"{what} was not seen within {self.target.PATIENCE} s; last seen: {health}")
            time.sleep(1)

    def deploy_all(self):
        self.deploy_primary()
        self.deploy_secondary()

    def invoke(self, event, *options):
        """An event for monthly-drill, by whichever version of the AWS CLI: both read a payload from a file as it is."""
        (KEPT / "event.json").write_text(json.dumps(event))
        run([*self.target.awscli, "lambda", "invoke", "--function-name", f"{self.settings.name}-relight-monthly-drill", *options,
             "--payload", f"fileb://{KEPT / 'event.json'}", str(KEPT / "answer.json")], self.target.environment())
        said = json.loads((KEPT / "answer.json").read_text() or "{}")
        if "errorMessage" in said:
            raise Refused(f"monthly-drill: {said['errorMessage']}")
        return said

    def check_health(self):
        health = self.target.health()
        word = {True: "answers", False: "does not answer", None: "is not told here"}
        say(f"{self.settings.primary}: health page {word[health['primary']]}")
        say(f"{self.settings.secondary}: health page {word[health['standby']]}")
        say(f"Route 53's checkers: {({True: 'the primary is healthy', False: 'the primary is ill'}).get(health['checkers'], 'see its console')}")
        say(f"www.{self.settings.domain}: users are at the {health['users']}")
        if health["replica_lag"] is not None:
            lag = health["replica_lag"]
            say(f"replica: {lag:.0f} s behind" if lag >= 0 else "replica: replicates nothing")
        if "relight" in self.outputs():
            say(f"Relight: {self.invoke({'operator': {'command': 'status', 'by': 'make'}})['way_on']}")
        if health["users"] not in ("primary", "standby") or not health[health["users"]]:
            raise Refused("users are not served")

    def simulate_outage(self):
        self.need("relight", "deploy-all")
        self.target.outage(self.outputs())

    def test_failover(self):
        """Follows the failover that an outage has caused; in peace, where nothing must be failed over, the monthly drill."""
        self.need("relight", "deploy-all")
        known = self.newest()
        if known is None or known["phase"] in ("Active", "Closed"):
            if self.target.health()["primary"]:
                self.target.ask("This starts the monthly drill. It touches no user and no replica:", [f"{self.settings.secondary} goes to full capacity for the plan's hold"])
                say("The primary is healthy: the drill is the test of a failover that touches no user.")
                # The drill's own invocation lasts for as long as it polls: nobody waits for its answer.
                self.invoke({"operator": {"command": "drill", "by": "make"}}, "--invocation-type", "Event")
            else:
                say("The primary does not answer; Relight will see it.")
            known = self.follow_new(known)
        self.follow(known)

    def items(self, partition):
        """A partition of the journal, as docs/runbook.md reads it."""
        values = json.dumps({":pk": {"S": partition}})
        answer = run([*self.target.awscli, "dynamodb", "query", "--table-name", self.need("relight", "deploy-all")["JournalTable"], "--consistent-read",
                      "--key-condition-expression", "pk = :pk", "--expression-attribute-values", values, "--output", "json"], self.target.environment())
        return {item["sk"]["S"]: json.loads(item["body"]["S"]) for item in json.loads(answer)["Items"]}

    def up(self):
        """The observers that see the primary up."""
        observers = self.items(self.settings.name).get("evidence", {}).get("observers", {})
        return sorted(name for name, seen in observers.items() if seen["word"] == "up")

    def newest(self):
        return self.items(self.settings.name).get("head", {}).get("run")

    def follow_new(self, known):
        deadline = time.monotonic() + self.target.PATIENCE
        while True:
            newest = self.newest()
            if newest and (known is None or newest["id"] != known["id"]):
                return newest
            if time.monotonic() > deadline:
                raise Refused(f"no run was opened within {self.target.PATIENCE} s; `make check-health` says how things stand")
            time.sleep(1)

    def follow(self, known):
        told = set()
        say(f"{known['id']}: {known['cause']}")
        deadline = time.monotonic() + 12 * 3600
        while True:
            items = self.items(self.settings.name)
            head = items["head"]["run"]
            history = self.items(f"{self.settings.name}#{known['id']}")
            for key in sorted(set(history) - told):
                entry = history[key]
                about = f"{entry['about']}: " if entry.get("about") else ""
                say(f"  {entry['at'][11:19]}  {entry['by']:<16} {about}{entry['said']}"[:180])
                told.add(key)
            drill = items.get("progress#drill", {})
            if head["id"] == known["id"] and head["phase"] in ("Active", "Closed") and drill.get("run") == known["id"] and drill["progress"].get("report"):
                return self.report(known["id"])
            if time.monotonic() > deadline:
                raise Refused(f"{known['id']} is still open after twelve hours; its `way_on` says what it waits for")
            time.sleep(1)

    def report(self, run_id):
        folder = TARGET_FOLDER / "report"
        folder.mkdir(parents=True, exist_ok=True)
        bucket = self.need("relight", "deploy-all")["ReportsBucket"]
        for ending in ("json", "html"):
            run([*self.target.awscli, "s3api", "get-object", "--bucket", bucket, "--key", f"{run_id}.{ending}", str(folder / f"{run_id}.{ending}")],
                self.target.environment())
        report = json.loads((folder / f"{run_id}.json").read_text())
        measured, objectives = report["measured"], report["objectives"]
        seconds = lambda value: "unknown" if value is None else f"{value:.1f} s"  # noqa: E731
        say(f"RTO  measured  {seconds(measured['rto_seconds']):>10}   objective {objectives['rto_seconds']:.0f} s")
        say(f"RPO  estimated {seconds(measured['rpo_seconds']):>10}   objective {objectives['rpo_seconds']:.0f} s")
        say(f"Report: {folder / run_id}.html and .json")
        if not report["passed"]:
            raise Refused("the run did not pass: " + "; ".join(finding["said"] for finding in report["findings"] if not finding["ok"]))

    def destroy(self):
        self.target.destroy(list(reversed(self.stacks())))
        self.kept.unlink(missing_ok=True)


COMMANDS = ["setup", "deploy-primary", "deploy-secondary", "deploy-all", "check-health", "simulate-outage", "test-failover", "destroy"]


def main(arguments, environment):
    if len(arguments) != 1 or arguments[0] not in COMMANDS:
        print(f"everyday: say one of {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    try:
        getattr(Everyday(Settings.read(environment)), arguments[0].replace("-", "_"))()
    except Refused as refused:
        for line in str(refused).splitlines():
            print(f"{arguments[0]}: {line}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
