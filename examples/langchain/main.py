"""A chain of LangChain whose model is the service: python main.py "Why is the sky blue?"."""

import os
import sys

from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI

model = ChatOpenAI(
    model=os.environ.get("MODEL", "demo"),
    base_url=os.environ.get("SERVICE", "http://127.0.0.1:3000") + "/v1",
    api_key=os.environ.get("SERVICE_KEY", "any"),  # one of STREAM_SERVE_API_KEYS, if they are set
    max_retries=0,  # the service has its own
)
prompt = ChatPromptTemplate.from_messages([("system", "Answer briefly."), ("user", "{question}")])
chain = prompt | model | StrOutputParser()

question = " ".join(sys.argv[1:]) or "Why is the sky blue?"
for piece in chain.stream({"question": question}):
    sys.stdout.write(piece)
    sys.stdout.flush()
sys.stdout.write("\n")
