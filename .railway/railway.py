"""All of Roadmap on Railway, as infrastructure in code: `railway config plan` shows, `railway config apply` does it.

Set the shared variables JWT_SECRET_KEY and LLM_API_KEY before. Services from before September 2026 read railway.json
instead, and Railway lets a service be managed by one of the two only. Both say the same: a test compares them.
"""

from railway_sdk import define_railway, github, postgres, project, redis, service

# "you/roadmap": each push to its main deploys all three. Empty: `railway up --service web` and so on, from a clone.
REPOSITORY = ""
# One command for all: SERVICE_TYPE says which. Seconds between SIGTERM and SIGKILL; content may finish model calls.
SERVICES = {"web": 60, "logs": 60, "content": 300}
START = "roadmap start"
BUILD = {"builder": "DOCKERFILE", "dockerfilePath": "Dockerfile"}
DEPLOY = {
    "startCommand": START,
    # Of each service; all but the first find nothing to do.
    "preDeployCommand": ["roadmap migrate"],
    # Asked at a deploy only: the old one goes on until the new one can serve.
    "healthcheckPath": "/ready",
    "healthcheckTimeout": 120,
    "restartPolicyType": "ALWAYS",
    "overlapSeconds": 10,
}


@define_railway
def main(ctx):
    database, queues = postgres("postgres"), redis("redis")
    shared = {
        "ENVIRONMENT": "production",
        "DATABASE_URL": database.env.DATABASE_URL,
        "REDIS_URL": queues.env.REDIS_URL,
    }
    own = {
        # Railway's edge, whose X-Forwarded-For names who asks.
        "web": {"JWT_SECRET_KEY": ctx.shared.JWT_SECRET_KEY, "TRUSTED_PROXIES": "100.64.0.0/10"},
        "logs": {},
        # What was asked of the model is paid for: a deploy waits for it.
        "content": {"LLM_API_KEY": ctx.shared.LLM_API_KEY, "SHUTDOWN_GRACE": "240"},
    }
    services = [
        service(
            name,
            source=github(REPOSITORY) if REPOSITORY else None,
            build=BUILD,
            deploy={**DEPLOY, "drainingSeconds": draining},
            env={"SERVICE_TYPE": name, **shared, **own[name]},
        )
        for name, draining in SERVICES.items()
    ]
    return project("roadmap", resources=[database, queues, *services])
